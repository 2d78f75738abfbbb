"""Take only the encoder out of a checkpoint: by our names, without optimizer, logs, and what was around it.

    python tools/model_converters/export_backbone.py CHECKPOINT OUT [--prefix P] [--bare] [--force]

CHECKPOINT is of a pre-training, a classifier, a detector, a segmentor or an encoder alone, in any layout that
`mixmae_mm.checkpoint.key_mapping` knows. OUT ends in .pth (the weights under `state_dict`) or in .safetensors; every
config loads it by the backbone's `init_cfg`.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path

import mixmae_mm
from mixmae_mm.utils import compat

compat.apply()  # before torch and the libraries that it fixes

from reading import Model, read_contents, read_model, short_meta, whose
from torch import Tensor
from writing import add_options, check_out, megabytes, save

from mixmae_mm.checkpoint.key_mapping import ENCODER
from mixmae_mm.utils.arguments import expanded
from mixmae_mm.utils.errors import readable_errors
from mixmae_mm.utils.names import expand


def take_encoder(file: Mapping[str, Tensor], prefix: str | None = None, bare: bool = False) -> Model:
    """Take the encoder out of weights.

    Args:
        file: All weights.
        prefix: What stands before the encoder's names, where there are several encoders.
        bare: Let nothing stand before the names of the result.

    Raises:
        ValueError: there is no encoder, none behind that prefix, or several.
    """
    model = read_model(file, prefix)
    cut = len(ENCODER) if bare else 0
    encoder = {name[cut:]: x for name, x in model.weights.items() if name.startswith(ENCODER)}
    return model._replace(weights=encoder)


def main(arguments: list[str] | None = None) -> None:
    """Read, take out, write."""
    parser = argparse.ArgumentParser(description=f'Export an encoder (mixmae_mm {mixmae_mm.__version__})')
    parser.add_argument('checkpoint', type=expand, help='checkpoint of a model with an encoder of ours')
    parser.add_argument('out', type=expanded, help='file to write: .pth or .safetensors')
    parser.add_argument('--prefix', help="what stands before the encoder's names, where there are several encoders")
    parser.add_argument('--bare', action='store_true', help=f"write names without '{ENCODER}' before them")
    add_options(parser)
    args = parser.parse_args(arguments)
    with readable_errors(args.debug):
        check_out(args.out, args.force)
        contents = read_contents(args.checkpoint)
        before = file_size(args.checkpoint)
        try:
            model = take_encoder(contents.weights, args.prefix, args.bare)
        except ValueError as error:
            raise ValueError(f'{args.checkpoint}: {error}') from error
        save(model.weights, args.out, 'state_dict', meta=short_meta(contents))
    print(f'{args.checkpoint}: {len(contents.weights)} tensors{before}, read as {whose(model.layout)}')
    print(f'{args.out}: {len(model.weights)} tensors{file_size(str(args.out))}, the encoder alone')


def file_size(file: str) -> str:
    """Say how large a file is; nothing of one that is at an address."""
    return '' if '://' in file else f', {megabytes(Path(file).stat().st_size)}'


if __name__ == '__main__':
    main()
