"""Weights in: an encoder from a file, or a clear word on why not."""

import re
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError

import torch
from mmengine.logging import print_log
from mmengine.model import BaseModule
from mmengine.runner.checkpoint import CheckpointLoader
from torch import Tensor, nn

NEW_IN_TRANSFER = re.compile(r'(norm\d+|fc_norm)\.(weight|bias)|segment_embed')
"""Names that no file need hold: the norms of intermediate outputs and of pooled features, which only transfer has, and
the segment embedding, which only mixtures need."""


def read_state_dict(checkpoint: str) -> dict[str, Tensor]:
    """Read the weights in a file: bare, or under `state_dict` (mmengine) or `model` (MixMIM, MAE).

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it holds no weights, or something that only running code could read.
    """
    content = _read(checkpoint)
    for container in ('state_dict', 'model'):
        if isinstance(content, Mapping) and isinstance(content.get(container), Mapping):
            content = content[container]
    if not isinstance(content, Mapping):
        raise ValueError(f'{checkpoint} holds a {type(content).__name__}, not weights by name: it is no checkpoint')
    weights = {name: value for name, value in content.items() if isinstance(value, Tensor)}
    if not weights:
        raise ValueError(f'{checkpoint} holds no weights, only {sorted(content)[:5]}: it is no checkpoint')
    return weights


def _read(checkpoint: str) -> object:
    """Read a file without running any code that it may hold; addresses are left to mmengine."""
    if not Path(checkpoint).is_file():
        return CheckpointLoader.load_checkpoint(checkpoint, map_location='cpu')
    try:
        return torch.load(checkpoint, map_location='cpu', weights_only=True)
    except (UnpicklingError, RuntimeError, EOFError) as error:
        raise ValueError(f'{checkpoint} cannot be read as weights without running code: {error}') from error


def load_backbone(backbone: nn.Module, checkpoint: str, prefix: str | None = None) -> None:
    """Load an encoder from a checkpoint of any model around it.

    Args:
        backbone: What to fill.
        checkpoint: The file.
        prefix: What stands before the encoder's names in the file; None takes `backbone.` if there is such a name.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it does not hold the whole encoder, or one of another size.
    """
    weights = read_state_dict(checkpoint)
    if prefix is None:
        prefix = 'backbone.' if any(name.startswith('backbone.') for name in weights) else ''
    weights = {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
    _check_complete(backbone, weights, f"{checkpoint} (under prefix '{prefix}')")
    try:
        report = backbone.load_state_dict(weights, strict=False)
    except RuntimeError as error:
        raise ValueError(f'{checkpoint} is of another size than this {type(backbone).__name__}: {error}') from error
    loaded, fresh = len(weights) - len(report.unexpected_keys), ', '.join(report.missing_keys) or 'none'
    message = f"loaded from {checkpoint}: {loaded} tensors under prefix '{prefix}'; starting anew: {fresh}"
    print_log(f'{type(backbone).__name__} {message}', logger='current')


def load_pretrained(backbone: BaseModule) -> None:
    """Load the checkpoint that an encoder's `init_cfg` names, if it does, and strike it from there.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it does not hold the whole encoder.
    """
    configs = [backbone.init_cfg] if isinstance(backbone.init_cfg, dict) else backbone.init_cfg or []
    for config in configs:
        if config['type'] == 'Pretrained':
            load_backbone(backbone, config['checkpoint'], config.get('prefix'))
    backbone.init_cfg = [config for config in configs if config['type'] != 'Pretrained']


def _check_complete(backbone: nn.Module, weights: Mapping[str, Tensor], where: str) -> None:
    """Refuse weights that leave a part of the encoder as it was initialised."""
    wanted = {name: p for name, p in backbone.named_parameters() if not NEW_IN_TRANSFER.fullmatch(name)}
    missing = sorted(wanted.keys() - weights.keys())
    if missing:
        share = 1 - sum(wanted[name].numel() for name in missing) / sum(p.numel() for p in wanted.values())
        raise ValueError(
            f"{where} holds {share:.0%} of this {type(backbone).__name__}'s parameters, all are needed. Missing: "
            f'{missing[:3]}; found: {sorted(weights)[:3]}. Check that it is a checkpoint of the same encoder, and its '
            'prefix'
        )
