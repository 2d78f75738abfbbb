"""Weights in: an encoder from a file, or a clear word on why not."""

from collections.abc import Mapping

from mmengine.runner.checkpoint import CheckpointLoader
from torch import Tensor, nn

ENOUGH = 0.95
"""Share of a backbone's parameters that a file must hold; below, training would start from scratch unnoticed."""


def read_state_dict(checkpoint: str) -> dict[str, Tensor]:
    """Read the weights in a file: bare, or under `state_dict` (mmengine) or `model` (MixMIM, MAE).

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it holds no weights.
    """
    content = CheckpointLoader.load_checkpoint(checkpoint, map_location='cpu')
    for container in ('state_dict', 'model'):
        if isinstance(content, Mapping) and isinstance(content.get(container), Mapping):
            content = content[container]
    if not isinstance(content, Mapping):
        raise ValueError(f'{checkpoint} holds a {type(content).__name__}, not weights by name: it is no checkpoint')
    weights = {name: value for name, value in content.items() if isinstance(value, Tensor)}
    if not weights:
        raise ValueError(f'{checkpoint} holds no weights, only {sorted(content)[:5]}: it is no checkpoint')
    return weights


def load_backbone(backbone: nn.Module, checkpoint: str, prefix: str | None = None) -> None:
    """Load an encoder from a checkpoint of any model around it.

    Args:
        backbone: What to fill.
        checkpoint: The file.
        prefix: What stands before the encoder's names in the file; None takes `backbone.` if there is such a name.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it holds less than `ENOUGH` of the backbone's parameters.
    """
    weights = read_state_dict(checkpoint)
    if prefix is None:
        prefix = 'backbone.' if any(name.startswith('backbone.') for name in weights) else ''
    weights = {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
    wanted = dict(backbone.named_parameters())
    found = sum(wanted[name].numel() for name in wanted.keys() & weights.keys())
    share = found / sum(parameter.numel() for parameter in wanted.values())
    if share < ENOUGH:
        raise ValueError(
            f"{checkpoint} holds {share:.0%} of this {type(backbone).__name__}'s parameters, at least {ENOUGH:.0%} are "
            f"needed. Missing: {sorted(wanted.keys() - weights.keys())[:3]}; found under prefix '{prefix}': "
            f'{sorted(weights)[:3]}. Check that it is a checkpoint of the same encoder, and its prefix'
        )
    try:
        backbone.load_state_dict(weights, strict=False)
    except RuntimeError as error:
        raise ValueError(f'{checkpoint} is of another size than this {type(backbone).__name__}: {error}') from error
