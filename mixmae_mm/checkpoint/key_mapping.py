"""Known ways to name and order weights: ours, the official MixMIM's and MAE's (also timm's and DeiT's), mmpretrain's.

Our names are the official ones behind `backbone.` (encoder), `neck.` (decoder) and `head.fc.` (classifier). mmpretrain
has names of its own, and merges the four neighbors of a token in another order (specs of both: docs/weights.md).
"""

import math
import re
from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

ENCODER, DECODER, CLASSIFIER = 'backbone.', 'neck.', 'head.fc.'
"""Prefix of our names."""

ANCHORS = {'patch_embed.proj.weight': 'official', 'patch_embed.projection.weight': 'mmpretrain'}
"""The name that every encoder has, and who calls it so."""

POSITIONS = ENCODER + 'pos_embed'
OFFICIAL_DECODER = ('mask_token', 'decoder_')
OFFICIAL_CLASSIFIER = ('head.', 'head_dist.')
MERGED = re.compile(r'\.downsample\.(reduction\.weight|norm\.(weight|bias))$')
"""Weights over the four merged neighbors of a token."""

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
"""How names begin, ours and mmpretrain's; {} is a number of a stage or block."""


class Layout(NamedTuple):
    """How a file names its weights ('official' or 'mmpretrain'), of which encoder ('swin' or 'vit'), and its prefix."""

    naming: str
    kind: str
    prefix: str

    @property
    def root(self) -> str:
        """Prefix of all names of the model around the encoder; others belong to another model."""
        return self.prefix.removesuffix(ENCODER)

    @property
    def is_bare(self) -> bool:
        """Return whether decoder and classifier stand beside the encoder's names, not behind `neck.`, `head.`."""
        return not self.prefix.endswith(ENCODER)

    def __str__(self) -> str:
        """Describe it in words."""
        whose = {
            ('official', 'swin'): 'MixMIM', ('official', 'vit'): 'MAE, timm and DeiT',
            ('mmpretrain', 'swin'): "mmpretrain's MixMIM", ('mmpretrain', 'vit'): "mmpretrain's ViT",
        }[self.naming, self.kind]  # fmt: skip
        behind = f"behind '{self.prefix}'" if self.prefix else 'with nothing before them'
        return f'the names of {whose}, {behind}'


def find_layout(names: Collection[str], prefix: str | None = None) -> Layout:
    """Recognize the layout of a file by all its names.

    `prefix` is that of the encoder's names, or of all names of the model that it is a part of; None finds it, where
    there is only one encoder, or one behind `backbone.` beside copies.

    Raises:
        ValueError: there is no encoder of ours, none behind that prefix, or several.
    """
    found = {
        name.removesuffix(anchor): naming
        for name in names for anchor, naming in ANCHORS.items() if name.endswith(anchor)
    }  # fmt: skip
    there = ', '.join(f"'{each}'" for each in sorted(found))
    if not found:
        raise ValueError(
            f'no name ends in {" or ".join(ANCHORS)}, which every encoder of ours has; found: {sorted(names)[:3]}'
        )
    if prefix is None:
        prefix = ENCODER if ENCODER in found else next(iter(found))
        if len(found) > 1 and prefix != ENCODER:
            raise ValueError(f'there are {len(found)} encoders, behind {there}: name one by `prefix`')
    elif prefix not in found and prefix + ENCODER not in found:
        raise ValueError(f"there is no encoder behind '{prefix}'; there is one behind {there}")
    prefix = prefix if prefix in found else prefix + ENCODER
    return Layout(found[prefix], _kind(names, prefix), prefix)


def _kind(names: Iterable[str], prefix: str) -> str:
    """Return whether an encoder has stages or plain blocks."""
    return 'swin' if any(name.startswith(f'{prefix}layers.0.blocks.') for name in names) else 'vit'


def our_name(name: str, layout: Layout) -> str:
    """Return our name for a tensor of a file; one of no known part of a model keeps its own."""
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
    """Return whether a file holds the decoder of a pre-training model beside its encoder; raises as `find_layout`."""
    layout, starts = find_layout(names), tuple(DECODER + start for start in OFFICIAL_DECODER)
    return any(our_name(name, layout).startswith(starts) for name in names)


def _translate(name: str, pairs: Iterable[tuple[str, str]]) -> str:
    """Replace the beginning of a name."""
    for source, target in pairs:
        found = re.match(re.escape(source).replace(r'\{\}', r'(\d+)'), name)
        if found:
            return target.format(*found.groups()) + name[found.end() :]
    return name


def to_ours(weights: Mapping[str, Tensor], layout: Layout, rows: int | None = None) -> dict[str, Tensor]:
    """Name and order the weights of the model that the layout is of as ours are.

    The position embedding of a plain ViT gets a row for CLS, and none for other tokens. `rows` are those of the
    position embedding to load into, that for CLS included, if that is known.
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

    Where there is a CLS it is, but for models of timm's whose CLS stands at no position. A file of ours whose grid is
    not square gives its sides. Of others, one as long as the model's own is taken for the same, and else one of
    h * h rows for that of a square without a row for CLS: with it, the grid (h - 1) x (h + 1) has as many.
    """
    embedding, grid = ours[POSITIONS], ours.get(POSITIONS + '_grid')
    if ENCODER + 'cls_token' not in ours:
        return False
    if grid is not None:
        return embedding.shape[1] > grid.prod()
    is_square = math.isqrt(embedding.shape[1]) ** 2 == embedding.shape[1]
    return embedding.shape[1] == rows or not is_square or not embedding[0, 0].any()


def to_official(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Name our weights officially; what is neither encoder, decoder nor classifier is left out."""
    parts = {ENCODER: '', CLASSIFIER: 'head.', **{DECODER + start: start for start in OFFICIAL_DECODER}}
    return {
        official + name.removeprefix(ours): x
        for name, x in weights.items() for ours, official in parts.items() if name.startswith(ours)
    }  # fmt: skip


def to_mmpretrain(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Name and order our weights as mmpretrain's."""
    kind = _kind(weights, ENCODER)
    return {
        _translate(name, OURS_AND_MMPRETRAINS[kind]): _to_unfold(x) if kind == 'swin' and MERGED.search(name) else x
        for name, x in weights.items()
    }


def _from_unfold(x: Tensor) -> Tensor:
    """Order (..., 4 * C) by neighbor (0,0), (1,0), (0,1), (1,1), then channel; it is by channel, then row by row."""
    return x.unflatten(-1, (-1, 4)).transpose(-1, -2)[..., [0, 2, 1, 3], :].flatten(-2).contiguous()


def _to_unfold(x: Tensor) -> Tensor:
    """Order (..., 4 * C) by channel, then neighbor row by row: the inverse of `_from_unfold`."""
    return x.unflatten(-1, (4, -1))[..., [0, 2, 1, 3], :].transpose(-1, -2).flatten(-2).contiguous()
