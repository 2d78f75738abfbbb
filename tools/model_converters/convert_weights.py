"""Convert a checkpoint to another layout of weights, or export its encoder for other programs.

    python tools/model_converters/convert_weights.py CHECKPOINT OUT --to FORMAT [--force]

Layouts, as OUT.pth or (bare) OUT.safetensors: `ours`, `official` (MixMIM's and MAE's), `mmpretrain`, and only for plain
ViTs `mae` and `timm`, which are the same. CHECKPOINT is in any of them, of a pre-training, a classifier, a detector, a
segmentor or an encoder alone; a round trip reproduces every bit. `backbone` is an encoder of another library alone,
under its own names (docs/encoders.md). Exports: `onnx`, `pt2` (torch.export), `safetensors` (one file that describes
itself), `hub` (a folder for the Hugging Face Hub); they need `--config`, a config or a name of `list_models()`, unless
CHECKPOINT is such a .safetensors itself.
"""

import argparse

import mixmae_mm
from mixmae_mm.utils import compat

compat.apply()  # before torch and the libraries that it fixes

from layouts import take_backbone, translate
from reading import PROGRESS, add_options, check_free, left_out_lines, plain, read_contents, to_bytes, whose, write
from torch import nn

from mixmae_mm.apis import encoder_file
from mixmae_mm.apis.export import OPSET, ExportableModel, export_onnx, export_program
from mixmae_mm.apis.model import build_classifier, build_encoder, get_model, input_size
from mixmae_mm.datasets.image_reader import normalization
from mixmae_mm.utils.arguments import ImageSize, Settings, expanded
from mixmae_mm.utils.errors import readable_errors
from mixmae_mm.utils.launching import load_config
from mixmae_mm.utils.names import expand

WEIGHTS = ('.pth', '.safetensors')
SUFFIXES = dict.fromkeys(('ours', 'official', 'mmpretrain', 'mae', 'timm', 'backbone'), WEIGHTS)
SUFFIXES |= dict(onnx=('.onnx',), pt2=('.pt2',), safetensors=('.safetensors',), hub=('',))
"""Suffixes of OUT, by format."""
OF_LAYOUTS, OF_GRAPHS = ('prefix', 'encoder_only', 'fold_segments'), ('classifier', 'with_normalization')
OF_EXPORTS = ('config', 'image_size', 'license', 'cfg_options')
"""Options that have an effect on some formats only."""


def convert(args: argparse.Namespace) -> list[str]:
    """Write weights in another layout, and return the lines to print."""
    contents = read_contents(args.checkpoint, args.ema)
    try:
        settings = args.to, args.prefix, args.encoder_only, args.fold_segments
        model = take_backbone(contents.weights) if args.to == 'backbone' else translate(contents.weights, *settings)
    except ValueError as error:
        raise ValueError(f'{args.checkpoint}: {error}') from error
    if args.out.suffix == '.safetensors':
        content = to_bytes(model.weights)
    elif args.to in ('ours', 'mmpretrain', 'backbone'):
        meta = {name: plain(contents.meta[name]) for name in (*PROGRESS, 'dataset_meta') if name in contents.meta}
        content = to_bytes(model.weights, 'state_dict', meta=meta | dict(mixmae_mm_version=mixmae_mm.__version__))
    else:
        content = to_bytes(model.weights, 'model')
    write(content, args.out)
    read = f'{args.checkpoint}: {len(contents.weights)} tensors, read as {whose(model.layout)}'
    if args.ema or 'ema_state_dict' in contents.others:
        read += ', averaged (EMA)'
    return [read, *left_out_lines(model.left_out), f'{args.out}: {len(model.weights)} tensors, {args.to}']


def export(args: argparse.Namespace) -> list[str]:
    """Write a graph, or an encoder that describes itself, and return the lines to print."""
    model, card = load(args)
    compared = ''
    if args.to in ('onnx', 'pt2'):
        inside = dict(mean=card.mean, std=card.std) if args.with_normalization else None
        exportable = ExportableModel(model, inside)
        takes = 'uint8' if exportable.takes_bytes else 'float32'
        metadata = dict(card._asdict(), normalizes=exportable.normalizes, takes=takes)
        if args.to == 'pt2':
            export_program(exportable, args.out, card.image_size, metadata)
        else:
            difference = export_onnx(exportable, args.out, card.image_size, metadata, args.opset)
            compared = f'; onnxruntime differs by {difference:.1e} of the largest value'
    elif args.to == 'safetensors':
        encoder_file.save_encoder(model, args.out, card)
    else:
        encoder_file.save_pretrained(model, args.out, card, args.license)
    height, width = card.image_size
    return [f'{args.out}: {card.type}, images of {height} x {width}{compared}']


def load(args: argparse.Namespace) -> tuple[nn.Module, encoder_file.EncoderCard]:
    """Build the model to export, and describe its encoder."""
    source = args.checkpoint.rpartition('/')[2]
    if args.config is None:
        encoder, card = encoder_file.load_encoder(args.checkpoint), encoder_file.read_card(args.checkpoint)
        return encoder, card._replace(image_size=args.image_size or card.image_size, source=source)
    if not args.config.endswith('.py'):
        encoder = get_model(args.config, args.checkpoint)
        return encoder, encoder_file.describe_encoder(encoder, args.image_size, source=source)
    config = load_config(args.config, args.cfg_options)
    model = (build_classifier if args.classifier else build_encoder)(config, args.checkpoint)
    encoder = model.backbone if args.classifier else model
    size = input_size(config, args.image_size)
    return model, encoder_file.describe_encoder(encoder, size, **normalization(config), source=source)


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=f'Convert a checkpoint (mixmae_mm {mixmae_mm.__version__})')
    parser.add_argument('checkpoint', type=expand, help='of a model with an encoder of ours')
    parser.add_argument('out', type=expanded, help='file to write, or a folder for hub')
    parser.add_argument('--to', choices=SUFFIXES, required=True, help='format')
    layouts = parser.add_argument_group('layouts')
    layouts.add_argument('--prefix', help="prefix of the encoder's names, if there are several encoders")
    layouts.add_argument('--encoder-only', action='store_true', help='leave out decoder, head and all else')
    layouts.add_argument('--fold-segments', action='store_true', help='add the mean segment to the patch bias')
    layouts.add_argument('--ema', action='store_true', help='averaged weights, or an error if there are none')
    exports = parser.add_argument_group('exports')
    exports.add_argument('--config', type=expand, help='config of the model, or a name that get_model knows')
    exports.add_argument('--image-size', action=ImageSize, help="of the images, pixels (the model's)")
    exports.add_argument('--classifier', action='store_true', help='onnx, pt2: logits of the whole classifier')
    text = 'onnx, pt2: normalize in the graph, which takes photos in uint8, other images in float32'
    exports.add_argument('--with-normalization', action='store_true', help=text)
    exports.add_argument('--opset', type=int, default=OPSET, help='of ONNX (%(default)s)')
    exports.add_argument('--license', help='hub: license for the model card: apache-2.0, cc-by-nc-4.0, ...')
    exports.add_argument('--cfg-options', nargs='+', action=Settings, help='config settings to override: a.b=value')
    add_options(parser)
    args = parser.parse_args(arguments)
    check(args, parser)
    return args


def check(args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Check that OUT and the options fit the format."""
    if args.out.suffix not in SUFFIXES[args.to]:
        ends = 'be a folder, without an extension' if args.to == 'hub' else f'end in {" or ".join(SUFFIXES[args.to])}'
        parser.error(f'{args.out} should {ends}')
    idle = OF_EXPORTS if SUFFIXES[args.to] is WEIGHTS else (*OF_LAYOUTS, 'ema')
    idle += OF_GRAPHS if args.to not in ('onnx', 'pt2') else ()
    idle += OF_LAYOUTS if args.to == 'backbone' else ()
    given = [f'--{name.replace("_", "-")}' for name in idle if getattr(args, name)]
    if given:
        parser.error(f'{", ".join(given)} has no effect with --to {args.to}')
    if args.license and args.to != 'hub':
        parser.error('--license has no effect without --to hub')
    if args.cfg_options and not str(args.config).endswith('.py'):
        parser.error('--cfg-options need --config CONFIG.py')
    if args.classifier and not str(args.config).endswith('.py'):
        parser.error('--classifier needs --config CONFIG.py')


def main(arguments: list[str] | None = None) -> None:
    """Convert or export."""
    args = parse_args(arguments)
    with readable_errors(args.debug):
        check_free(args.out, args.force)
        lines = (convert if SUFFIXES[args.to] is WEIGHTS else export)(args)
    print(*lines, sep='\n')


if __name__ == '__main__':
    main()
