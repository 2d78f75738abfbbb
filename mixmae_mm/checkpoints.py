"""Weights in: an encoder, or a whole pre-training model, from a file; or a clear word on why not."""

import re
from collections.abc import Collection, Mapping
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

ENCODER, DECODER = 'backbone.', 'neck.'  # what stands before their names in our pre-training models
OUR_LAYOUT = "our layout, where 'backbone.' is the encoder and 'neck.' the decoder"
OFFICIAL_LAYOUT = 'the official layout, where mask_token and decoder_* are the decoder and all else is the encoder'


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
        prefix = ENCODER if any(name.startswith(ENCODER) for name in weights) else ''
    weights = _below(weights, prefix)
    hint = 'Check that it is a checkpoint of the same encoder, and its prefix'
    _check_complete(backbone, weights, f"{checkpoint} (under prefix '{prefix}')", hint, found=weights)
    _copy(backbone, weights, checkpoint, f"under prefix '{prefix}'")


def load_pretrainer(model: nn.Module, checkpoint: str, prefix: str | None = None) -> None:
    """Load a whole pre-training model, from one of our files or an official one (MAE, MixMIM).

    Args:
        model: What to fill, a `MixingPretrainer`.
        checkpoint: The file.
        prefix: What stands before all names in the file, if something does.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it does not hold the whole model, holds more of it, or is of another size.
    """
    file = _below(read_state_dict(checkpoint), prefix or '')
    ours = any(name.startswith(ENCODER) for name in file)
    layout = OUR_LAYOUT if ours else OFFICIAL_LAYOUT
    weights = file if ours else {our_name(name): value for name, value in file.items()}
    hint = (
        'Check that it is a checkpoint of the same model, decoder and all; one of an encoder alone loads by the '
        "backbone's init_cfg"
    )
    _check_complete(model, weights, f'{checkpoint} (taken to be in {layout})', hint, found=file)
    _check_nothing_left(model, weights, checkpoint)
    _copy(model, weights, checkpoint, f'in {layout}')


def our_name(official: str) -> str:
    """Name a tensor of an official pre-training file as in our models: only what stands before it differs."""
    return (DECODER if official.startswith(('mask_token', 'decoder_')) else ENCODER) + official


def load_pretrained(backbone: BaseModule) -> None:
    """Load the checkpoint that an encoder's `init_cfg` names, if it does, and strike it from there.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it does not hold the whole encoder.
    """
    for config in take_pretrained(backbone):
        load_backbone(backbone, config['checkpoint'], config.get('prefix'))


def take_pretrained(module: BaseModule) -> list[dict]:
    """Strike `Pretrained` from an `init_cfg`, from which mmengine would load whatever happens to fit, and give it."""
    configs = [module.init_cfg] if isinstance(module.init_cfg, dict) else module.init_cfg or []
    module.init_cfg = [config for config in configs if config['type'] != 'Pretrained']
    return [config for config in configs if config['type'] == 'Pretrained']


def _below(weights: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Take the weights whose names begin with a prefix, and the prefix off."""
    return {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}


def _may_be_new(name: str) -> bool:
    """Tell whether a parameter, of an encoder or of a model around it, may start anew."""
    return NEW_IN_TRANSFER.fullmatch(name.removeprefix(ENCODER)) is not None


def _check_complete(
    module: nn.Module, weights: Mapping[str, Tensor], where: str, hint: str, found: Collection[str]
) -> None:
    """Refuse weights that leave a part of the module as it was initialised; `found` are the file's own names."""
    wanted = {name: p for name, p in module.named_parameters() if not _may_be_new(name)}
    missing = sorted(wanted.keys() - weights.keys())
    if missing:
        share = 1 - sum(wanted[name].numel() for name in missing) / sum(p.numel() for p in wanted.values())
        raise ValueError(
            f"{where} holds {share:.0%} of this {type(module).__name__}'s parameters, all are needed. Missing: "
            f'{missing[:3]}; found: {sorted(found)[:3]}. {hint}'
        )


def _check_nothing_left(model: nn.Module, weights: Mapping[str, Tensor], checkpoint: str) -> None:
    """Refuse an encoder or decoder of which only a part would be used: a deeper one, for instance."""
    stray = sorted(name for name in weights.keys() - model.state_dict().keys() if not _may_be_new(name))
    stray = [name for name in stray if name.startswith((ENCODER, DECODER))]
    if stray:
        raise ValueError(
            f'{checkpoint} is of another model than this {type(model).__name__}, which has no place for {len(stray)} '
            f'of its tensors, such as {stray[:3]}: build the model with the depths that the file was trained with'
        )


def _copy(module: nn.Module, weights: Mapping[str, Tensor], checkpoint: str, how: str) -> None:
    """Copy weights into a module and say what was loaded, and what was not."""
    try:
        report = module.load_state_dict(weights, strict=False)
    except RuntimeError as error:
        raise ValueError(f'{checkpoint} is of another size than this {type(module).__name__}: {error}') from error
    loaded, fresh = len(weights) - len(report.unexpected_keys), ', '.join(report.missing_keys) or 'none'
    message = f'loaded from {checkpoint}: {loaded} tensors {how}; starting anew: {fresh}'
    print_log(f'{type(module).__name__} {message}', logger='current')
