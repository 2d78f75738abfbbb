"""Renaming and ordering of weights for each layout: ours, the official ones, mmpretrain's, MAE's for transfer."""

import re
from collections.abc import Mapping

from reading import Model, read_model
from torch import Tensor

from mixmae_mm.checkpoint.key_mapping import DECODER, ENCODER, OFFICIAL_DECODER, to_mmpretrain, to_official

SEGMENTS, PATCH_BIAS = ENCODER + 'segment_embed', ENCODER + 'patch_embed.proj.bias'
OURS_ALONE = {
    re.compile(re.escape(SEGMENTS)): 'only mixtures need it (--fold-segments adds its mean to the patch embedding)',
    re.compile(re.escape(SEGMENTS) + r'\.\d+'): 'only mixtures need it, at each stage',
    re.compile(r'projection\..*'): "only MixedAE's contrastive loss needs it",
    re.compile(r'backbone\.norm\d+\.(weight|bias)'): 'the norm of an intermediate map, which only ours has',
}
"""Names that only our models have, and why."""
VIT = re.compile(
    r'backbone\.(cls_token|pos_embed|patch_embed\.proj\.(weight|bias)|(fc_)?norm\.(weight|bias)'
    r'|blocks\.\d+\.(norm1|norm2|attn\.qkv|attn\.proj|mlp\.fc1|mlp\.fc2)\.(weight|bias))'
)
"""The encoder in MAE's files, under our names."""
NORMALIZATION = re.compile(r'neck\.(\d+\.)?bn\.')
"""Batch norm of linear probing in mmpretrain; in the official code it is the first part of the head."""
LINEAR = re.compile(r'head\.(fc|layers\.head)\.(?=weight$|bias$)')
"""The linear layer of mmpretrain's heads."""


def translate(
    file: Mapping[str, Tensor], to: str, prefix: str | None = None, encoder_only: bool = False, fold: bool = False
) -> Model:
    """Rename and reorder weights for a layout; what it has no place for is left out and listed under our names."""
    layout, ours, left_out = read_model(file, prefix)
    if 'head.0.running_mean' in ours:  # a linear probe still has its official names
        parts = {'head.0.': 'neck.1.bn.', 'head.1.': 'head.fc.'}
        ours = {parts.get(name[:7], name[:7]) + name[7:]: x for name, x in ours.items()}
    if fold:
        if SEGMENTS not in ours:
            raise ValueError('there is no segment embedding to fold: leave --fold-segments out')
        ours[PATCH_BIAS] = ours[PATCH_BIAS] + ours.pop(SEGMENTS).mean(dim=0)
    strange = {name: why for name in ours if (why := _reason(name, to, encoder_only))}
    kept = {name: x for name, x in ours.items() if name not in strange}
    if to in ('mae', 'timm'):
        _check_vit(kept)
    if to != 'ours':
        kept = to_mmpretrain(kept) if to == 'mmpretrain' else _officially(kept)
    return Model(layout, kept, left_out | strange)


def take_backbone(file: Mapping[str, Tensor]) -> Model:
    """Extract the encoder of an OpenMMLab model, whatever its class, under its own names; timm's under timm's."""
    weights = {name.removeprefix(ENCODER): x for name, x in file.items() if name.startswith(ENCODER)}
    for wrapper in ('timm_model.', 'model.'):  # mmpretrain's TIMMBackbone around timm's FeatureGetterNet
        if all(name.startswith(wrapper) for name in weights):
            weights = {name.removeprefix(wrapper): x for name, x in weights.items()}
    if not weights:
        raise ValueError(f'no name begins with {ENCODER}, as those of every backbone do; found: {sorted(file)[:3]}')
    left_out = dict.fromkeys((name for name in file if not name.startswith(ENCODER)), 'not of the encoder')
    return Model(f"a model with its encoder under '{ENCODER}'", weights, left_out)


def _reason(name: str, to: str, encoder_only: bool) -> str | None:
    """Return why a tensor, given by our name, is left out; None if it is not."""
    if encoder_only and not name.startswith(ENCODER):
        return 'not of the encoder'
    if to == 'ours':
        return None
    why = next((why for pattern, why in OURS_ALONE.items() if pattern.fullmatch(name)), None)
    if why or to == 'mmpretrain':
        return why
    is_decoder = name.startswith(tuple(DECODER + start for start in OFFICIAL_DECODER))
    if to in ('mae', 'timm') and (is_decoder or name == f'{ENCODER}pos_embed_grid'):
        return 'not in files for transfer'
    known = is_decoder or _in_head(name) or name.startswith(ENCODER)
    return None if known else 'neither encoder, decoder nor linear classifier'


def _in_head(name: str) -> bool:
    """Return whether a tensor, given by our name, belongs to a linear classifier."""
    return bool(NORMALIZATION.match(name) or LINEAR.match(name))


def _officially(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Translate to the official names; a classifier is `head`, or with a batch norm `head.0` and `head.1`."""
    norms = {NORMALIZATION.sub('head.0.', name): x for name, x in weights.items() if NORMALIZATION.match(name)}
    place = 'head.1.' if norms else 'head.'
    linear = {LINEAR.sub(place, name): x for name, x in weights.items() if LINEAR.match(name)}
    return to_official({name: x for name, x in weights.items() if not _in_head(name)}) | norms | linear


def _check_vit(weights: Mapping[str, Tensor]) -> None:
    """Raise ValueError for an encoder other than `MixingViT`."""
    strange = sorted(name for name in weights if name.startswith(ENCODER) and not VIT.fullmatch(name))
    lacks = {f'{ENCODER}cls_token', f'{ENCODER}pos_embed', PATCH_BIAS} - weights.keys()
    if strange or lacks:
        what = f'has {strange[:3]}' if strange else f'lacks {sorted(lacks)}'
        raise ValueError(f'the encoder is not a MixingViT, it {what}: only plain ViTs have the layout of MAE and timm')
