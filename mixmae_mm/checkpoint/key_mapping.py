"""Layouts of weights: ours, the official MixMIM's and MAE's (also timm's and DeiT's), and mmpretrain's.

Our names are the official ones with the prefix `backbone.` (encoder), `neck.` (decoder) or `head.fc.` (classifier).
mmpretrain uses other names, and its patch merging orders the four neighbors differently (both: docs/weights.md).
"""

import math
import re
from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

ENCODER, DECODER, CLASSIFIER = 'backbone.', 'neck.', 'head.fc.'
"""Prefixes of our names."""

ANCHORS = {'patch_embed.proj.weight': 'official', 'patch_embed.projection.weight': 'mmpretrain'}
"""Suffixes of the name of a weight that every encoder has, and the naming that each belongs to."""
BLOCKS = {
    'official': ('layers.0.blocks.0.', 'blocks.0.attn.'),
    'mmpretrain': ('layers.0.blocks.0.', 'layers.0.attn.'),
}
"""Beginnings of names in the first block of MixMIM and of a plain ViT, which tell them from other encoders."""

POSITIONS = ENCODER + 'pos_embed'
OFFICIAL_DECODER = ('mask_token', 'decoder_')
OFFICIAL_CLASSIFIER = ('head.', 'head_dist.')
MERGED = re.compile(r'\.downsample\.(reduction\.weight|norm\.(weight|bias))$')
"""Weights of patch merging, over four neighboring tokens."""

PARTS = [('norm1', 'ln1'), ('norm2', 'ln2'), ('mlp.fc1', 'ffn.layers.0.0'), ('mlp.fc2', 'ffn.layers.1')]
IN_BOTH = [
    ('backbone.patch_embed.proj.', 'backbone.patch_embed.projection.'),
    *((f'neck.decoder_blocks.{{}}.{a}.', f'neck.decoder_blocks.{{}}.{b}.') for a, b in PARTS),
    ('neck.decoder_norm.', 'neck.ln1.'),
]
IN_SWIN = [(f'backbone.layers.{{}}.blocks.{{}}.{a}.', f'backbone.layers.{{}}.blocks.{{}}.{b}.') for a, b in PARTS]
IN_VIT = [(f'backbone.blocks.{{}}.{a}.', f'backbone.layers.{{}}.{b}.') for a, b in [*PARTS, ('attn', 'attn')]]
OURS_AND_MMPRETRAINS = {
    'swin': IN_SWIN + IN_BOTH,
    'vit': [*IN_VIT, ('backbone.norm.', 'backbone.ln1.'), ('backbone.fc_norm.', 'backbone.ln2.'), *IN_BOTH],
}
"""Beginnings of our names and of mmpretrain's; {} is the index of a stage or block."""


class Layout(NamedTuple):
    """The layout of a file: its naming ('official' or 'mmpretrain'), kind of encoder ('swin' or 'vit'), and prefix."""

    naming: str
    kind: str
    prefix: str

    @property
    def root(self) -> str:
        """Prefix of all names of the model around the encoder; names without it belong to another model."""
        return self.prefix.removesuffix(ENCODER)

    @property
    def is_bare(self) -> bool:
        """Whether names of decoder and classifier have the encoder's prefix rather than `neck.` and `head.`."""
        return not self.prefix.endswith(ENCODER)

    def __str__(self) -> str:
        """Describe the layout in words."""
        whose = {
            ('official', 'swin'): 'MixMIM', ('official', 'vit'): 'MAE, timm and DeiT',
            ('mmpretrain', 'swin'): "mmpretrain's MixMIM", ('mmpretrain', 'vit'): "mmpretrain's ViT",
        }[self.naming, self.kind]  # fmt: skip
        where = f"under '{self.prefix}'" if self.prefix else 'without a prefix'
        return f'the names of {whose}, {where}'


def find_layout(names: Collection[str], prefix: str | None = None) -> Layout:
    """Recognize the layout of a file by all its names.

    `prefix` is that of the encoder's names, or of all names of the model that contains it. None finds the prefix if the
    file has only one encoder, or one behind `backbone.` among copies. Raise ValueError if there is no encoder of ours,
    none with this prefix, or, without `prefix`, several encoders of which none is behind `backbone.`.
    An encoder of another library, whose patch embedding may have the same name, is none of ours.
    """
    found = {
        name.removesuffix(anchor): naming
        for name in names for anchor, naming in ANCHORS.items() if name.endswith(anchor)
    }  # fmt: skip
    there = ', '.join(f"'{each}'" for each in sorted(found))
    if not found:
        raise ValueError(
            f'no name ends in {" or ".join(ANCHORS)}, which all our encoders have; found: {sorted(names)[:3]}'
        )
    if prefix is None:
        prefix = ENCODER if ENCODER in found else next(iter(found))
        if len(found) > 1 and prefix != ENCODER:
            raise ValueError(f'there are {len(found)} encoders, under {there}: choose one with `prefix`')
    elif prefix not in found and prefix + ENCODER not in found:
        raise ValueError(f"there is no encoder under '{prefix}', only under {there}")
    prefix = prefix if prefix in found else prefix + ENCODER
    if not _is_ours(names, prefix, found[prefix]):
        raise ValueError(
            f"the encoder under '{prefix}' is neither MixMIM's nor a plain ViT: only their names are translated; "
            'mixmae convert --to backbone extracts an encoder of another library under its own names'
        )
    return Layout(found[prefix], _kind(names, prefix), prefix)


def _is_ours(names: Collection[str], prefix: str, naming: str) -> bool:
    """Return whether an encoder is MixMIM or a plain ViT. timm's Swin has the same blocks, but merges before stages."""

    def has(*starts: str) -> bool:
        return any(name.startswith(tuple(prefix + start for start in starts)) for name in names)

    return has(*BLOCKS[naming]) and (has('layers.0.downsample.') or not has('layers.1.downsample.'))


def _kind(names: Iterable[str], prefix: str) -> str:
    """Return 'swin' for an encoder with stages, 'vit' for one with plain blocks."""
    return 'swin' if any(name.startswith(f'{prefix}layers.0.blocks.') for name in names) else 'vit'


def our_name(name: str, layout: Layout) -> str:
    """Return our name for a tensor of a file; one of an unknown part of a model keeps its name."""
    if not layout.is_bare:
        name = name.removeprefix(layout.root)
    elif name.startswith(layout.prefix):
        name = name.removeprefix(layout.prefix)
        if name.startswith(OFFICIAL_DECODER):
            name = DECODER + name
        elif not name.startswith(OFFICIAL_CLASSIFIER):
            name = ENCODER + name
        elif name in ('head.weight', 'head.bias'):
            name = CLASSIFIER + name.removeprefix('head.')
    if layout.naming == 'mmpretrain':
        name = _translate(name, [(theirs, ours) for ours, theirs in OURS_AND_MMPRETRAINS[layout.kind]])
    return name


def has_decoder(names: Collection[str]) -> bool:
    """Return whether a file holds a decoder in addition to its encoder; raise ValueError as `find_layout` does."""
    layout, starts = find_layout(names), tuple(DECODER + start for start in OFFICIAL_DECODER)
    return any(our_name(name, layout).startswith(starts) for name in names)


def _translate(name: str, pairs: Iterable[tuple[str, str]]) -> str:
    """Replace the beginning of a name according to the first pair that matches."""
    for source, target in pairs:
        found = re.match(re.escape(source).replace(r'\{\}', r'(\d+)'), name)
        if found:
            return target.format(*found.groups()) + name[found.end() :]
    return name


def to_ours(weights: Mapping[str, Tensor], layout: Layout, rows: int | None = None) -> dict[str, Tensor]:
    """Convert the weights of the model with this layout to our names and order, without those of other models.

    The position embedding of a plain ViT gets a row for CLS, and none for other extra tokens. `rows` is the number of
    rows of the position embedding to load into, including that of CLS, if known.
    """
    reorder = (layout.naming, layout.kind) == ('mmpretrain', 'swin')
    ours = {
        our_name(name, layout): _from_unfold(x) if reorder and MERGED.search(name) else x
        for name, x in weights.items() if name.startswith(layout.root)
    }  # fmt: skip
    if POSITIONS in ours:
        embedding = ours[POSITIONS]
        if ENCODER + 'dist_token' in ours:  # DeiT's distilled models have a second row before the patches
            ours[POSITIONS] = torch.cat([embedding[:, :1], embedding[:, 2:]], dim=1)
        elif not _has_row_for_cls(ours, rows):
            ours[POSITIONS] = torch.cat([torch.zeros_like(embedding[:, :1]), embedding], dim=1)
    return ours


def _has_row_for_cls(ours: Mapping[str, Tensor], rows: int | None) -> bool:
    """Return whether the first row of a position embedding is that of CLS.

    If the file has CLS, it is, except in timm's models whose CLS has no position. Our files state the sides of a grid
    that is not square. In others, an embedding with as many rows as the model's own is taken to be like it. Otherwise,
    h * h rows, of which the first is not 0, are taken for a square grid without a row for CLS, although a grid of
    (h - 1) x (h + 1) with one has as many.
    """
    embedding, grid = ours[POSITIONS], ours.get(POSITIONS + '_grid')
    if ENCODER + 'cls_token' not in ours:
        return False
    if grid is not None:
        return embedding.shape[1] > grid.prod()
    is_square = math.isqrt(embedding.shape[1]) ** 2 == embedding.shape[1]
    return embedding.shape[1] == rows or not is_square or not embedding[0, 0].any()


def to_official(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Convert our names to the official ones; what is neither encoder, decoder nor classifier is left out."""
    parts = {ENCODER: '', CLASSIFIER: 'head.', **{DECODER + start: start for start in OFFICIAL_DECODER}}
    return {
        official + name.removeprefix(ours): x
        for name, x in weights.items() for ours, official in parts.items() if name.startswith(ours)
    }  # fmt: skip


def to_mmpretrain(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Convert our weights to mmpretrain's names and order."""
    kind = _kind(weights, ENCODER)
    return {
        _translate(name, OURS_AND_MMPRETRAINS[kind]): _to_unfold(x) if kind == 'swin' and MERGED.search(name) else x
        for name, x in weights.items()
    }


def _from_unfold(x: Tensor) -> Tensor:
    """Reorder (..., 4 * C) from channel, then row by row, to neighbor (0,0), (1,0), (0,1), (1,1), then channel."""
    return x.unflatten(-1, (-1, 4)).transpose(-1, -2)[..., [0, 2, 1, 3], :].flatten(-2).contiguous()


def _to_unfold(x: Tensor) -> Tensor:
    """Reorder (..., 4 * C) to channel, then neighbor row by row: the inverse of `_from_unfold`."""
    return x.unflatten(-1, (4, -1))[..., [0, 2, 1, 3], :].transpose(-1, -2).flatten(-2).contiguous()
