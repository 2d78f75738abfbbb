"""Translate weights between the official layout of MixMIM and MAE, mmpretrain's, and ours.

    python tools/model_converters/convert_weights.py CHECKPOINT OUT --to ours|official|mmpretrain [--prefix P] [--force]

CHECKPOINT is of a pre-training model, a classifier, or an encoder alone, in any of the layouts; its own is found. OUT
ends in .pth, with the weights under `model` (official) or under `state_dict` beside `meta` (ours, mmpretrain), or in
.safetensors (bare). There and back nothing changes, to the bit. Other models around an encoder (detectors, segmentors)
keep only what the target knows; export_backbone.py takes the encoder out of those, export_vit.py folds segments.
"""

import argparse
import re
from collections.abc import Mapping
from pathlib import Path

import mixmae_mm
from mixmae_mm.utils import compat

compat.apply()  # before torch and the libraries that it fixes

from heads import in_head, name_probe, official_head
from reading import Contents, Model, left_out_lines, read_contents, read_model, short_meta, whose
from torch import Tensor
from writing import add_options, check_out, save

from mixmae_mm.checkpoint.key_mapping import DECODER, ENCODER, OFFICIAL_DECODER, to_mmpretrain, to_official
from mixmae_mm.utils.arguments import expanded
from mixmae_mm.utils.errors import readable_errors
from mixmae_mm.utils.names import expand

LAYOUTS = dict(ours='ours', official='the official layout', mmpretrain="mmpretrain's")
OURS_ALONE = {
    re.compile(r'backbone\.segment_embed'): 'only mixtures of ours need it (export_vit.py folds it)',
    re.compile(r'projection\..*'): "only MixedAE's contrastive loss needs it",
    re.compile(r'backbone\.norm\d+\.(weight|bias)'): 'the norm of an intermediate map, which only ours has',
}
"""Names that only our models have, and why."""
KNOWN_OFFICIALLY = (ENCODER, *(DECODER + start for start in OFFICIAL_DECODER))


def translate(file: Mapping[str, Tensor], to: str, prefix: str | None = None) -> Model:
    """Name and order weights as the target does.

    Returns:
        How the file was read, the weights, and what was left out, by our names, with the reason.

    Raises:
        ValueError: there is no encoder in the file, none behind that prefix, or several.
    """
    layout, ours, left_out = read_model(file, prefix)
    ours = name_probe(ours)
    strange = {name: why for name in ours if (why := _reason(name, to))}
    kept = {name: x for name, x in ours.items() if name not in strange}
    targets = {'ours': dict, 'official': _officially, 'mmpretrain': to_mmpretrain}
    return Model(layout, targets[to](kept), left_out | strange)


def _officially(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Name encoder, decoder and classifier officially."""
    return to_official({name: x for name, x in weights.items() if not in_head(name)}) | official_head(weights)


def _reason(name: str, to: str) -> str | None:
    """Say why the target has no place for a tensor, by our name; None where it has."""
    if to == 'ours':
        return None
    why = next((why for pattern, why in OURS_ALONE.items() if pattern.fullmatch(name)), None)
    if why is None and to == 'official' and not (name.startswith(KNOWN_OFFICIALLY) or in_head(name)):
        return 'neither encoder, decoder nor linear classifier'
    return why


def write(model: Model, to: str, contents: Contents, out: Path) -> str:
    """Write the weights in what the target expects around them, and say where in the file they are."""
    if to == 'official':
        save(model.weights, out, 'model')
    else:
        save(model.weights, out, 'state_dict', meta=short_meta(contents))
    if out.suffix == '.safetensors':
        return 'bare'
    return "under 'model'" if to == 'official' else "under 'state_dict'"


def main(arguments: list[str] | None = None) -> None:
    """Read, translate, write."""
    parser = argparse.ArgumentParser(description=f'Translate weights (mixmae_mm {mixmae_mm.__version__})')
    parser.add_argument('checkpoint', type=expand, help='of a pre-training model, a classifier or an encoder')
    parser.add_argument('out', type=expanded, help='file to write: .pth or .safetensors')
    parser.add_argument('--to', choices=LAYOUTS, required=True, help='whose names and order to write')
    parser.add_argument('--prefix', help="what stands before the encoder's names, where there are several encoders")
    add_options(parser)
    args = parser.parse_args(arguments)
    with readable_errors(args.debug):
        check_out(args.out, args.force)
        contents = read_contents(args.checkpoint)
        try:
            model = translate(contents.weights, args.to, args.prefix)
        except ValueError as error:
            raise ValueError(f'{args.checkpoint}: {error}') from error
        where = write(model, args.to, contents, args.out)
    print(f'{args.checkpoint}: {len(contents.weights)} tensors, read as {whose(model.layout)}')
    for line in left_out_lines(model.left_out):
        print(line)
    print(f'{args.out}: {len(model.weights)} tensors, {LAYOUTS[args.to]}, {where}')


if __name__ == '__main__':
    main()
