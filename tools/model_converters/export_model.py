"""Write an encoder, or a whole classifier, for programs without this package, or as one file that describes itself.

    python tools/model_converters/export_model.py CHECKPOINT OUT [--config CONFIG_OR_NAME] [--image-size H W]

OUT ends in .onnx, .pt2 (torch.export) or .safetensors; without an extension it is a folder as the Hugging Face Hub
wants it. CHECKPOINT is of any layout that `mixmae_mm.checkpoint.key_mapping` knows; CONFIG_OR_NAME, a config or one of
`list_models()`, says what it holds, and is not needed where the checkpoint is such a .safetensors itself. ONNX and .pt2
are for images of one size, in batches of any, and ONNX is run by onnxruntime and compared before it is left there.
"""

import argparse

import mixmae_mm
from mixmae_mm.utils import compat

compat.apply()  # before torch and the libraries that it fixes

from torch import nn
from writing import add_options, check_free, megabytes

from mixmae_mm.apis import export as exporting
from mixmae_mm.apis import hub
from mixmae_mm.apis.encoder_file import (
    EncoderCard,
    describe_encoder,
    load_encoder,
    method_of,
    read_card,
    save_encoder,
)
from mixmae_mm.apis.model import build_classifier, build_encoder, get_model, input_size
from mixmae_mm.apis.portable import PortableClassifier, PortableEncoder
from mixmae_mm.datasets.image_reader import normalization
from mixmae_mm.utils.arguments import ImageSize, expanded
from mixmae_mm.utils.errors import readable_errors
from mixmae_mm.utils.launching import Settings, load_config
from mixmae_mm.utils.names import expand

TOLERANCE = 1e-4
"""Largest difference between onnxruntime and PyTorch, over the largest value, that is taken for rounding."""
GRAPHS = ('.onnx', '.pt2')


def load(args: argparse.Namespace) -> tuple[nn.Module, EncoderCard]:
    """Build what is to be exported, and describe its encoder.

    Raises:
        ValueError: it cannot be built, or the checkpoint does not go with it.
    """
    if args.config is None:
        encoder, card = load_encoder(args.checkpoint), read_card(args.checkpoint)
        size = args.image_size or card.image_size
        return encoder, describe_encoder(encoder, size, card.mean, card.std, args.checkpoint, card.method)
    if not args.config.endswith('.py'):
        encoder = get_model(args.config, args.checkpoint)
        return encoder, describe_encoder(encoder, args.image_size, checkpoint=args.checkpoint)
    config = load_config(args.config, args.cfg_options)
    model = (build_classifier if args.classifier else build_encoder)(config, args.checkpoint)
    encoder = model.backbone if args.classifier else model
    size = args.image_size or input_size(config)
    told = dict(checkpoint=args.checkpoint, method=method_of(config.model))
    return model, describe_encoder(encoder, size, **normalization(config), **told)


def write_graph(model: nn.Module, card: EncoderCard, args: argparse.Namespace) -> str:
    """Write .onnx or .pt2, and say how it compares.

    Raises:
        ValueError: onnxruntime gives something else than PyTorch; nothing is left behind.
    """
    inside = dict(mean=card.mean, std=card.std) if args.with_normalization else None
    portable = (PortableClassifier if args.classifier else PortableEncoder)(model, inside)
    where = 'in the graph' if args.with_normalization else 'before'
    told = card.as_text() | dict(normalized=where, takes='uint8' if portable.takes_bytes else 'float32')
    if args.out.suffix == '.pt2':
        exporting.export_program(portable, args.out, card.image_size, told)
        return ''
    exporting.export_onnx(portable, args.out, card.image_size, told, args.opset)
    differences = exporting.compare_onnx(args.out, portable, card.image_size)
    if max(differences.values()) > TOLERANCE:
        args.out.unlink()
        raise ValueError(f'onnxruntime and PyTorch differ, by {differences} of the largest value: removed {args.out}')
    return f'; onnxruntime differs by {max(differences.values()):.1e} of the largest value'


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=f'Export a model (mixmae_mm {mixmae_mm.__version__})')
    parser.add_argument('checkpoint', type=expand, help='checkpoint of a model with an encoder of ours')
    parser.add_argument('out', type=expanded, help='.onnx, .pt2 or .safetensors, or a folder')
    parser.add_argument('--config', help='config of the model, or a name that get_model knows')
    parser.add_argument('--image-size', action=ImageSize, help="of the images, pixels (the model's)")
    parser.add_argument('--classifier', action='store_true', help='the whole classifier of the config: its logits')
    inside = 'normalize in the graph, which takes photos in uint8, bands in float32'
    parser.add_argument('--with-normalization', action='store_true', help=inside)
    parser.add_argument('--opset', type=int, default=exporting.OPSET, help='of ONNX (%(default)s)')
    parser.add_argument('--licence', help="of the weights, for a folder's model card: apache-2.0, cc-by-nc-4.0, ...")
    parser.add_argument('--cfg-options', nargs='+', action=Settings, help='config settings to override: a.b=value')
    add_options(parser)
    args = parser.parse_args(arguments)
    if args.classifier and not (args.out.suffix in GRAPHS and str(args.config).endswith('.py')):
        parser.error('--classifier needs --config CONFIG.py, and OUT that ends in .onnx or .pt2')
    if args.with_normalization and args.out.suffix not in GRAPHS:
        parser.error('--with-normalization is for .onnx and .pt2; the others hold mean and std beside the weights')
    if args.out.suffix not in (*GRAPHS, '.safetensors', ''):
        parser.error(f'{args.out} should end in .onnx, .pt2 or .safetensors, or be a folder')
    return args


def main(arguments: list[str] | None = None) -> None:
    """Load, export, compare."""
    args = parse_args(arguments)
    compared = ''
    with readable_errors(args.debug):
        check_free(args.out, args.force)
        if args.out.suffix == '.onnx':
            exporting.import_onnx()
        model, card = load(args)
        if args.out.suffix in GRAPHS:
            compared = write_graph(model, card, args)
        elif args.out.suffix:
            save_encoder(model, args.out, card)
        else:
            hub.save_pretrained(model, args.out, card, args.licence)
    size = args.out.stat().st_size if args.out.is_file() else sum(x.stat().st_size for x in args.out.iterdir())
    height, width = card.image_size
    print(f'{args.out}: {card.type}, images of {height} x {width}, {megabytes(size)}{compared}')


if __name__ == '__main__':
    main()
