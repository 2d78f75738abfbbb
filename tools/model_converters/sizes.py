"""The settings of an encoder, as far as its weights tell them."""

import math
import re
from collections import Counter
from collections.abc import Mapping

from torch import Tensor

from mixmae_mm.models.backbones import swin_archs, vit_archs
from mixmae_mm.models.utils.mixins import known_grid, told_windows
from mixmae_mm.models.utils.pos_embed import guess_grid
from mixmae_mm.structures import Size

CHANNELS_PER_HEAD = 64
HEADS_IN_CONFIG = re.compile(r'backbone=dict\(\s*arch=dict\([^()]*\bnum_heads=(\d+)')
DEFAULTS = dict(in_channels=3, mlp_ratio=4.0)
UNKNOWN = None
"""What stands for a number that neither weights nor config tell."""


def read_settings(encoder: Mapping[str, Tensor], kind: str, config: str = '') -> tuple[dict, list[str]]:
    """Tell the settings of a `MixMIMSwin` ('swin') or `MixingViT` ('vit') that such weights are of.

    Args:
        encoder: The weights, by our names with nothing before them.
        kind: Which of the two.
        config: The config that they were trained with, as text, if it is known.

    Returns:
        The settings, those left out that are as in any other encoder, and remarks on what is a guess.

    Raises:
        ValueError: a tensor that every such encoder has is missing, or its sizes are of none.
    """
    patches = _need(encoder, 'patch_embed.proj.weight')
    if patches.ndim != 4 or patches.shape[2] != patches.shape[3]:
        raise ValueError(f'patch_embed.proj.weight is {tuple(patches.shape)}: patches of ours are square')
    dims, in_channels, patch_size, _ = patches.shape
    first = 'layers.0.blocks.0.' if kind == 'swin' else 'blocks.0.'
    more = dict(in_channels=in_channels, mlp_ratio=len(_need(encoder, f'{first}mlp.fc1.weight')) / dims)
    own, remarks = _swin(encoder, dims, patch_size) if kind == 'swin' else _vit(encoder, dims, patch_size, config)
    return own | {name: x for name, x in more.items() if DEFAULTS[name] != x}, remarks


def _swin(encoder: Mapping[str, Tensor], dims: int, patch_size: int) -> tuple[dict, list[str]]:
    """Tell the settings of `MixMIMSwin`."""
    depths = _depths(encoder)
    name = 'layers.{}.blocks.{}.attn.relative_position_'
    blocks = [[name.format(stage, i) for i in range(depth)] for stage, depth in enumerate(depths)]
    windows = [[_window(encoder, block) for block in stage] for stage in blocks]
    heads = tuple(encoder[f'{stage[0]}bias_table'].shape[1] for stage in blocks)
    arch = dict(embed_dims=dims, depths=depths, num_heads=heads)
    grid = _grid(encoder, 'absolute_pos_embed', 0)
    settings = dict(type='mixmae_mm.MixMIMSwin', arch=_named(arch, swin_archs.ARCHS))
    settings |= dict(img_size=_side(grid, patch_size), patch_size=patch_size)
    settings |= dict(window_sizes=tuple(_side(_usual(sizes)) for sizes in windows)) | _wide(windows)
    norms = tuple(stage for stage in range(len(depths) - 1) if f'norm{stage}.weight' in encoder)
    last = (len(depths) - 1,) if 'norm.weight' in encoder or not norms else ()
    return settings | (dict(out_indices=norms + last) if norms + last != (3,) else {}), []


def _depths(encoder: Mapping[str, Tensor]) -> tuple[int, ...]:
    """Count the blocks of each stage."""
    blocks = {
        tuple(map(int, found)) for name in encoder for found in re.findall(r'^layers\.(\d+)\.blocks\.(\d+)\.', name)
    }
    counts = Counter(stage for stage, _ in blocks)
    return tuple(counts[stage] for stage in range(max(counts) + 1))


def _window(encoder: Mapping[str, Tensor], block: str) -> Size:
    """Tell the window of a block's bias table: what is stored with it, from its index, otherwise a square one.

    Raises:
        ValueError: the table is of no window.
    """
    table, sides = _need(encoder, f'{block}bias_table'), encoder.get(f'{block}bias_table_grid')
    told = told_windows(len(table), encoder.get(f'{block}index'))
    if told:
        return told[0] if sides is None else tuple(sides.tolist())
    side = math.isqrt(len(table))
    if side**2 != len(table) or side % 2 == 0:
        raise ValueError(f'a relative_position_bias_table of {len(table)} entries is of no square window')
    return (side + 1) // 2, (side + 1) // 2


def _usual(sizes: list[Size]) -> Size:
    """Return the window that most blocks of a stage have, the smaller of two."""
    return min(sizes, key=lambda size: (-sizes.count(size), size))


def _wide(windows: list[list[Size]]) -> dict:
    """Tell which blocks of the last stage but one have another window."""
    sizes = windows[-2] if len(windows) > 1 else []
    wide = [block for block, size in enumerate(sizes) if size != _usual(sizes)]
    return dict(wide_blocks=tuple(wide), wide_window=_side(sizes[wide[0]])) if wide else {}


def _vit(encoder: Mapping[str, Tensor], dims: int, patch_size: int, config: str) -> tuple[dict, list[str]]:
    """Tell the settings of `MixingViT`."""
    depth = len({found for name in encoder for found in re.findall(r'^blocks\.(\d+)\.', name)})
    heads, remark = _heads(dims, depth, config)
    grid = _grid(encoder, 'pos_embed', 1)
    arch = _named(dict(embed_dims=dims, depth=depth, num_heads=heads), vit_archs.ARCHS)
    settings = dict(type='mixmae_mm.MixingViT', arch=arch, img_size=_side(grid, patch_size), patch_size=patch_size)
    if 'fc_norm.weight' in encoder:
        settings['out_type'] = 'avg_featmap'
    elif 'norm.weight' not in encoder:
        settings['final_norm'] = False
    if 'segment_embed' in encoder:
        settings['num_sources'] = len(encoder['segment_embed'])
    return settings, [remark] if remark else []


def _heads(dims: int, depth: int, config: str) -> tuple[int | None, str]:
    """Tell the number of heads, of which a plain ViT's weights say nothing, and how it is known."""
    found = HEADS_IN_CONFIG.search(config)
    if found:
        return int(found[1]), ''
    for name, arch in vit_archs.ARCHS.items():
        if (arch['embed_dims'], arch['depth']) == (dims, depth):
            return arch['num_heads'], f"num_heads are those of '{name}': the weights of a plain ViT do not tell"
    if dims % CHANNELS_PER_HEAD == 0:
        return dims // CHANNELS_PER_HEAD, f'num_heads is a guess, {CHANNELS_PER_HEAD} channels each: see the training'
    return UNKNOWN, 'num_heads is not known: neither the weights of a plain ViT nor a config in the file tell'


def _need(encoder: Mapping[str, Tensor], name: str) -> Tensor:
    """Return a tensor.

    Raises:
        ValueError: it is not there.
    """
    if name not in encoder:
        raise ValueError(f'{name} is missing: the file holds a part of an encoder, or another kind of one')
    return encoder[name]


def _grid(encoder: Mapping[str, Tensor], name: str, extra: int) -> Size:
    """Tell the sides of a position table.

    Raises:
        ValueError: they cannot be told.
    """
    entries = _need(encoder, name).shape[1] - extra
    try:
        return known_grid(encoder, name, extra) or guess_grid(entries, (0, 0), name)
    except ValueError as error:
        raise ValueError(f'{name} holds {entries} entries, no square, and does not tell its sides') from error


def _side(size: Size, factor: int = 1) -> int | Size:
    """Write a square by its side, times a factor."""
    height, width = size[0] * factor, size[1] * factor
    return height if height == width else (height, width)


def _named(arch: dict, known: Mapping[str, dict]) -> str | dict:
    """Return the name of an arch, if it has one."""
    return next((name for name, sizes in known.items() if sizes == arch), arch)
