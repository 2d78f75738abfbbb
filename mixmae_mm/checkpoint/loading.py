"""Loading of an encoder or a whole pre-training model from a file, with a clear error if it does not fit."""

import logging
import re
from collections.abc import Collection, Mapping

from mmengine.logging import print_log
from mmengine.model import BaseModule
from torch import Tensor, nn

from mixmae_mm.checkpoint.key_mapping import DECODER, ENCODER, POSITIONS, Layout, find_layout, our_name, to_ours
from mixmae_mm.checkpoint.report import LoadReport
from mixmae_mm.structures import Fitted
from mixmae_mm.utils.safe_io.weights_file import read_weights

MIN_SHARE = 0.95
NEW_IN_TRANSFER = re.compile(r'(norm\d+|fc_norm)\.(weight|bias)|segment_embed(\.\d+)?')
"""Names that a file can lack: the norms of intermediate outputs and of pooled features, which only transfer uses, and
the segment embedding, which only mixtures need."""
OF_MAPS = re.compile(r'norm\d\.(weight|bias)')
"""Norms of the maps of an encoder of another library."""
POSITION_EMBEDDINGS = re.compile(r'(.*\.)?(absolute_pos_embed|pos_embed|decoder_pos_embed)')
"""Names that every file must hold, because weights depend on the position embedding that they were trained with."""
WITHOUT_PLACE = re.compile(
    r'segment_embed(\.\d+)?|(norm\d*|fc_norm)\.(weight|bias)|dist_token|.*\.attn_mask'
    r'|(.*\.)?(\w*pos_embed|relative_position_bias_table)_grid'
)
"""Names that a file's encoder can have although ours does not."""
SKIPPED = {ENCODER: 'no place in this encoder', DECODER: 'decoder', 'head': 'head', '': 'another part of the model'}
"""Reasons for skipping tensors, by the beginning of our names for them."""


def load_backbone(
    backbone: nn.Module, checkpoint: str, prefix: str | None = None, min_share: float = MIN_SHARE
) -> LoadReport:
    """Load an encoder from its own or a whole model's checkpoint, in any layout of `mixmae_mm.checkpoint.key_mapping`.

    Position embeddings are resized to the encoder's grid and windows. After an error, the encoder is unchanged. The
    report is also logged. `checkpoint` is the path or URL of a .pth or .safetensors file; `prefix` is that of the
    encoder's names in it, found if None; `min_share` is the share of the encoder's parameters that it must hold.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: it does not hold enough of the encoder, or belongs to another one.
    """
    hint = 'Check its prefix, and that it is a checkpoint of the same encoder'
    return _load(backbone, checkpoint, prefix, min_share, ENCODER, hint)


def load_pretrainer(model: nn.Module, checkpoint: str, prefix: str | None = None) -> LoadReport:
    """Load a whole pre-training model, from one of our files, an official one (MAE, MixMIM) or mmpretrain's.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: it lacks parts of the model, holds more of it, or is of another size.
    """
    hint = 'Check that it is a checkpoint of the same model, with its decoder; an encoder has its own init_cfg'
    return _load(model, checkpoint, prefix, 1.0, '', hint)


def load_by_name(module: nn.Module, checkpoint: str, prefix: str = ENCODER) -> str:
    """Load an encoder of another library, or with prefix '' a model of it, by its own names; return what was loaded.

    The names in the file may have the prefix; all other tensors are skipped. Norms of an encoder's maps (`norm0`, ...)
    before the last one that is known stay as built if pre-training did not return them, as when the libraries
    themselves load them.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: it lacks a weight of the module, or has it in another shape.
    """
    file, name = read_weights(checkpoint), type(module).__name__
    weights = {key.removeprefix(prefix): x for key, x in file.items() if key.startswith(prefix)} or file
    wanted = module.state_dict()
    norms = sorted(key for key in wanted if OF_MAPS.fullmatch(key))
    last = max((key.partition('.')[0] for key in [*wanted, *weights] if OF_MAPS.fullmatch(key)), default='')
    fresh = [key for key in norms if key not in weights and not key.startswith(last)]
    missing = [key for key in wanted if key not in weights and key not in fresh]
    misfits = [key for key in wanted if key in weights and weights[key].shape != wanted[key].shape]
    if missing or misfits:
        raise ValueError(
            f'{checkpoint} does not fit this {name}: of {len(wanted)} tensors, {len(missing)} are '
            f'missing and {len(misfits)} have other shapes, e.g. {[*missing, *misfits][0]}: use a checkpoint of the '
            'same encoder'
        )
    # not strict, because Swin v2 drops buffers that it computes itself
    module.load_state_dict({key: weights[key] for key in wanted if key not in fresh}, strict=False)
    said = f'{len(wanted) - len(fresh)} of its {len(wanted)} tensors, by name'
    said = f'{checkpoint} -> {name}: {said}{"; not loaded: " * bool(fresh)}{", ".join(fresh)}'
    print_log(said, 'current')
    return said


def load_pretrained(backbone: BaseModule) -> None:
    """Load the checkpoint that an encoder's `init_cfg` names, if any, and remove it from `init_cfg`."""
    for config in take_pretrained(backbone):
        load_backbone(backbone, config['checkpoint'], config.get('prefix'), config.get('min_share', MIN_SHARE))


def take_pretrained(module: BaseModule) -> list[dict]:
    """Remove `Pretrained`, with which mmengine would load whatever fits, from an `init_cfg`, and return it.

    Raise ValueError for an `init_cfg` without type.
    """
    configs = module.init_cfg if isinstance(module.init_cfg, list | tuple) else [module.init_cfg]
    configs = [config for config in configs if config]
    if not all(isinstance(config, dict) and 'type' in config for config in configs):
        raise ValueError(
            f'init_cfg of {type(module).__name__} is {module.init_cfg}: it must be a dict with a type, such as '
            "dict(type='Pretrained', checkpoint=FILE); with --cfg-options, set init_cfg.type=Pretrained, too"
        )
    module.init_cfg = [config for config in configs if config['type'] != 'Pretrained']
    return [config for config in configs if config['type'] == 'Pretrained']


def _load(module: nn.Module, checkpoint: str, prefix: str | None, min_share: float, part: str, hint: str) -> LoadReport:
    """Load a file into a module, whose names have the prefix `part` among our names."""
    file = read_weights(checkpoint)
    here = module.state_dict()
    embedding = here.get(POSITIONS.removeprefix(part))
    try:
        layout = find_layout(file, prefix)
        ours = to_ours(file, layout, None if embedding is None else embedding.shape[1])
        weights = {name.removeprefix(part): x for name, x in ours.items() if name.startswith(part)}
        report = _compare(module, file, layout, weights, part)
        _check_names(report, min_share, file, weights.keys() - here.keys())
        fitted, positions = fit(module, weights)
        wrong = [name for name in fitted if name in here and here[name].shape != fitted[name].shape]
        if wrong:
            stored, own = (tuple(each[wrong[0]].shape) for each in (fitted, here))
            raise ValueError(
                f'its sizes differ: {wrong[0]} is {stored} in the file and {own} here, and {len(wrong) - 1} more differ'
            )
    except ValueError as error:
        raise ValueError(f'{checkpoint} does not fit this {type(module).__name__}: {error}. {hint}') from error
    report.checkpoint = checkpoint
    report.note_positions(positions)
    module.load_state_dict(fitted, strict=False)
    print_log(str(report), logger='current', level=logging.WARNING if report.doubtful else logging.INFO)
    return report


def fit(module: nn.Module, weights: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Fitted]]:
    """Resize stored position embeddings to those of a module; the given weights stay as they are.

    Returns the weights to load, and how each position embedding was resized, by name; raises ValueError for one that
    cannot be resized.
    """
    fitted, positions = dict(weights), {}
    for name, part in module.named_modules():
        if hasattr(part, 'fit_stored'):
            positions |= part.fit_stored(fitted, f'{name}.' if name else '')
    return fitted, positions


def _compare(
    module: nn.Module, file: Mapping[str, Tensor], layout: Layout, weights: Mapping[str, Tensor], part: str
) -> LoadReport:
    """Compare the names of a file and a module; `weights` are by the module's names."""
    here = module.state_dict()
    parameters = dict(module.named_parameters())
    needed = [name for name in parameters if not NEW_IN_TRANSFER.fullmatch(name.removeprefix(ENCODER))]
    wanted = {name: parameters[name].numel() for name in needed}
    missing = sorted(wanted.keys() - weights.keys())
    share = 1 - sum(wanted[name] for name in missing) / sum(wanted.values())
    report = LoadReport(type(module).__name__, str(layout), share, missing=missing)
    report.fresh = sorted(parameters.keys() - weights.keys() - wanted.keys())
    for theirs in file:
        if not theirs.startswith(layout.root):
            report.skipped[theirs] = 'another model'
            continue
        ours = our_name(theirs, layout)
        name = ours.removeprefix(part)
        if not ours.startswith(part) or name not in here:
            report.skipped[theirs] = next(why for start, why in SKIPPED.items() if ours.startswith(start))
        else:
            report.loaded[name] = theirs
    return report


def _check_names(report: LoadReport, min_share: float, file: Mapping[str, Tensor], others: Collection[str]) -> None:
    """Check that a file holds enough of the module, including all position embeddings, and nothing of a deeper one.

    `others` are names in the file that the module does not have.
    """
    few = report.share < min_share
    names = report.missing if few else [name for name in report.missing if POSITION_EMBEDDINGS.fullmatch(name)]
    if names:
        needed = 'all are needed' if min_share == 1 else f'at least {min_share:.0%} are needed'
        raise ValueError(
            f'read with {report.layout}, it holds {report.share:.0%} of the parameters, '
            f'{needed if few else "but not all position embeddings"}. Missing: {names[:3]}; found: {sorted(file)[:3]}'
        )
    inside = (ENCODER, DECODER) if any(name.startswith(ENCODER) for name in report.loaded) else ''
    stray = sorted(name for name in others if name.startswith(inside))
    stray = [name for name in stray if not WITHOUT_PLACE.fullmatch(name.removeprefix(ENCODER))]
    if stray:
        raise ValueError(
            f'this model lacks {len(stray)} of its tensors, such as {stray[:3]}: build the model as it was'
        )
