"""Write the ViT of a checkpoint of ours in the layout of MAE's files, which timm reads as well.

    python tools/model_converters/export_vit.py CHECKPOINT OUT [--fold-segments] [--force]

CHECKPOINT is of a MixedAE or MAE pre-training, or of a classifier (`out_type` 'avg_featmap' or 'cls_token') fine-tuned
from one. OUT ends in .pth (the weights under `model`, as in MAE's own files) or in .safetensors (bare). The decoder
stays behind; a classifier keeps its head.
"""

import argparse
import re
from collections.abc import Mapping

import mixmae_mm
from mixmae_mm.utils import compat

compat.apply()  # before torch and the libraries that it fixes

from heads import official_head
from torch import Tensor
from writing import add_options, check_out, save

from mixmae_mm.checkpoint.key_mapping import ENCODER
from mixmae_mm.utils.arguments import expanded
from mixmae_mm.utils.errors import check_checkpoint, readable_errors
from mixmae_mm.utils.names import expand
from mixmae_mm.utils.safe_io.weights_file import read_weights

SEGMENTS, BIAS = 'segment_embed', 'patch_embed.proj.bias'
VIT = re.compile(
    r'cls_token|pos_embed|patch_embed\.proj\.(weight|bias)|(fc_)?norm\.(weight|bias)'
    r'|blocks\.\d+\.(norm1|norm2|attn\.qkv|attn\.proj|mlp\.fc1|mlp\.fc2)\.(weight|bias)'
)
"""The official names of the encoder; fine-tuning with mean pooling has fc_norm for norm."""


def export(weights: Mapping[str, Tensor], fold_segments: bool = False) -> dict[str, Tensor]:
    """Return the encoder, and the head if there is one, by their official names.

    The segment embedding, which only mixtures need, is dropped, or its mean added to the patch embedding's bias.

    Raises:
        ValueError: there is no ViT of ours among the weights, or no segment embedding to fold.
    """
    encoder = {name.removeprefix(ENCODER): x for name, x in weights.items() if name.startswith(ENCODER)}
    segments = encoder.pop(SEGMENTS, None)
    encoder.pop('pos_embed_grid', None)  # which other programs do not know
    _check_vit(encoder, sorted(weights))
    if fold_segments:
        if segments is None:
            raise ValueError('there is no segment embedding to fold: leave --fold-segments out')
        encoder[BIAS] = encoder[BIAS] + segments.mean(dim=0)
    return encoder | official_head(weights)


def _check_vit(encoder: Mapping[str, Tensor], found: list[str]) -> None:
    """Refuse encoders other than `MixingViT`."""
    if not encoder:
        raise ValueError(f"no name begins with '{ENCODER}', so it is no checkpoint of ours; found: {found[:3]}")
    strange = sorted(name for name in encoder if not VIT.fullmatch(name))
    if strange or not {'cls_token', 'pos_embed', BIAS} <= encoder.keys():
        what = f'it has {strange[:3]}' if strange else 'it lacks cls_token, pos_embed or patch_embed'
        raise ValueError(f'the encoder is no MixingViT, {what}: only plain ViTs have the layout of MAE and timm')


def main(arguments: list[str] | None = None) -> None:
    """Read, convert, write."""
    parser = argparse.ArgumentParser(
        description=f'Export to the layout of MAE and timm (mixmae_mm {mixmae_mm.__version__})'
    )
    parser.add_argument('checkpoint', type=expand, help='checkpoint of a pre-training or a classifier')
    parser.add_argument('out', type=expanded, help='file to write: .pth or .safetensors')
    parser.add_argument('--fold-segments', action='store_true', help='add the mean segment to the patch bias')
    add_options(parser)
    args = parser.parse_args(arguments)
    with readable_errors(args.debug):
        check_checkpoint(args.checkpoint)
        check_out(args.out, args.force)
        weights = read_weights(args.checkpoint)
        try:
            exported = export(weights, args.fold_segments)
        except ValueError as error:
            raise ValueError(f'{args.checkpoint}: {error}') from error
        save(exported, args.out, 'model')
    head = 'with' if any(name.startswith('head.') for name in exported) else 'without'
    print(f'{args.out}: {len(exported)} of {len(weights)} tensors, {head} a classification head')


if __name__ == '__main__':
    main()
