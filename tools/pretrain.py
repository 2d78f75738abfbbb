"""Pre-train an encoder on a folder of images, with the recipe that is shipped for its method and size.

    python tools/pretrain.py DATA --method mixmae --size micro --out DIR [--epochs 100] [--batch-size 64]
    python tools/pretrain.py DATA --method mixmae --size base --out DIR --from CHECKPOINT

The config that is run is written to DIR/configs/pretrain.py. It inherits the recipe; if these options are not enough,
edit it and run it with tools/train.py. The learning rate is scaled with the batch, the warm-up with the epochs. With
--from, training starts at a quarter of the recipe's learning rate.
"""

import argparse
import copy
import os
import re
import runpy
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import mixmae_mm
from mixmae_mm.utils import console
from mixmae_mm.utils.arguments import ImageSize, Settings, add_output_options, counted
from mixmae_mm.utils.names import expand, printable

if TYPE_CHECKING:
    from mmengine.config import Config

CONFIGS = Path(__file__).resolve().parents[1] / 'configs'
RECIPE = re.compile(r'(?P<method>[a-z]+)_(?:mixmim-swin|vit)-(?P<size>[a-z]+)(?:-[wp]\d+)?_.*-(?P<epochs>\d+)e_.*')
SHARE_OF_RATE = 0.25
"""Factor on the recipe's learning rate when training starts from pre-trained weights. Untuned."""
PRECISIONS = dict(fp32=None, bf16='bfloat16', fp16='float16')


def find_recipes(configs: Path = CONFIGS) -> dict[str, dict[str, Path]]:
    """Find a config for each method and size: the one for custom data, or else the one with the fewest epochs."""
    found: dict[str, dict[str, list[tuple]]] = {}
    for path in configs.glob('*/*.py'):
        name = RECIPE.fullmatch(path.stem)
        if name and name['method'] == path.parent.name:
            rank = not path.stem.endswith('_custom'), int(name['epochs']), len(path.stem), path
            found.setdefault(name['method'], {}).setdefault(name['size'], []).append(rank)
    return {method: {size: min(ranks)[-1] for size, ranks in sizes.items()} for method, sizes in found.items()}


def device(text: str) -> str:
    """Parse the name of a device."""
    if not re.fullmatch(r'cpu|cuda(:\d+)?', text):
        raise argparse.ArgumentTypeError(f'{text}: give cpu, cuda or cuda:N')
    return text


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line; add the `recipe` of the method and size."""
    recipes = find_recipes()
    parser = argparse.ArgumentParser(description=f'Pre-train on a folder of images (mixmae_mm {mixmae_mm.__version__})')
    parser.add_argument('data', type=expand, help='folder of images, at any depth')
    parser.add_argument('--method', choices=sorted(recipes), required=True)
    sizes = '; '.join(f'{method}: {", ".join(sorted(recipes[method]))}' for method in sorted(recipes))
    parser.add_argument('--size', required=True, help=f'of the encoder ({sizes})')
    parser.add_argument('--out', type=expand, required=True, help='folder for config, logs and checkpoints')
    parser.add_argument('--epochs', type=counted, help="epochs (the recipe's)")
    parser.add_argument('--batch-size', type=counted, help="images per batch on each GPU (the recipe's)")
    parser.add_argument('--image-size', action=ImageSize, help="pixels (the recipe's)")
    parser.add_argument('--device', type=device, help='cpu, cuda or cuda:N (default: GPU if available)')
    parser.add_argument('--precision', choices=PRECISIONS, help="(the recipe's)")
    text = 'start from these weights: an encoder, or a whole model of the method (.pth, .safetensors, address)'
    parser.add_argument('--from', dest='start', metavar='CHECKPOINT', type=expand, help=text)
    text = 'resume from this checkpoint; without a value, from the last one in DIR'
    parser.add_argument('--resume', nargs='?', const='auto', type=expand, help=text)
    parser.add_argument('--cfg-options', nargs='+', action=Settings, default={}, help='config settings: a.b=value')
    add_output_options(parser)
    args = parser.parse_args(arguments)
    if args.size not in recipes[args.method]:
        known = ', '.join(sorted(recipes[args.method]))
        parser.error(f'--size {args.size}: {args.method} has no recipe for it; use one of {known}')
    if not os.path.isdir(args.data):
        text = 'is a file; unpack it, or train a config with mixmae_mm.HuggingFaceImages'
        parser.error(f'{printable(args.data)} {text if os.path.exists(args.data) else "does not exist: give a folder"}')
    args.recipe = recipes[args.method][args.size]
    return args


def settings_of(args: argparse.Namespace, recipe: dict) -> dict:
    """Return the settings that a config adds to its recipe to do what the command line asks for.

    Raise ValueError if the image size is not a multiple of the size of the masked cells.
    """
    loader: dict = dict(dataset=dict(data_root=os.path.abspath(args.data)))
    settings = dict(train_dataloader=loader, auto_scale_lr=dict(enable=True))
    if args.batch_size:
        loader.update(batch_size=args.batch_size)
    if args.image_size:
        size, cell = args.image_size, recipe['model']['data_preprocessor']['cell_size']
        if any(side % cell for side in size):
            raise ValueError(f'--image-size {size[0]} {size[1]}: give multiples of {cell}, the side of a masked cell')
        grid = tuple(side // cell for side in size)
        settings['model'] = dict(backbone=dict(img_size=size), neck=dict(grid_size=grid))
        steps = recipe['train_dataloader']['dataset']['pipeline']
        loader['dataset']['pipeline'] = [dict(step, scale=size) if 'scale' in step else step for step in steps]
    if args.epochs:  # with the recipe's share of them as warm-up
        warmup, cosine = recipe['param_scheduler']
        end = round(warmup['end'] * args.epochs / recipe['train_cfg']['max_epochs'])
        parts = [dict(warmup, end=end)] * (end > 0) + [dict(cosine, begin=end)]
        settings |= dict(train_cfg=dict(max_epochs=args.epochs), param_scheduler=parts)
    if args.precision:
        dtype, wrapper = PRECISIONS[args.precision], recipe['optim_wrapper']
        others = {key: value for key, value in wrapper.items() if key not in ('type', 'dtype', 'loss_scale')}
        kind = dict(type='AmpOptimWrapper', dtype=dtype) if dtype else dict(type='OptimWrapper')
        settings['optim_wrapper'] = dict(_delete_=True, **kind, **others)
    return settings


def start_from(args: argparse.Namespace, recipe: 'Config', settings: dict) -> None:
    """Add the settings that start the model, or its encoder alone, from the weights of `--from`, at a lower rate.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it does not fit the model.
    """
    from mmengine.registry import MODELS, init_default_scope

    from mixmae_mm.apis.contexts import quiet_log
    from mixmae_mm.checkpoint.key_mapping import has_decoder
    from mixmae_mm.utils.cfg_options import put_options
    from mixmae_mm.utils.launching import say
    from mixmae_mm.utils.safe_io.weights_file import read_weights

    checkpoint = args.start if '://' in args.start else os.path.abspath(args.start)
    whole, model = has_decoder(read_weights(checkpoint)), settings.setdefault('model', {})
    part = model if whole else model.setdefault('backbone', {})
    part['init_cfg'] = dict(type='Pretrained', checkpoint=checkpoint)
    wrapper, optimizer = settings.setdefault('optim_wrapper', {}), recipe.optim_wrapper.optimizer
    optimizer.lr *= SHARE_OF_RATE
    wrapper['optimizer'] = dict(wrapper.get('optimizer', {}), lr=optimizer.lr)
    recipe.merge_from_dict(dict(model=model))
    put_options(recipe, args.cfg_options)
    init_default_scope(recipe.default_scope)
    with quiet_log():
        MODELS.build(recipe.model).init_weights()  # raises if the weights do not fit, before anything is written
    what = 'encoder and decoder' if whole else 'the encoder only; the decoder starts from scratch'
    # --cfg-options may have set another rate
    kept = recipe.optim_wrapper.get('optimizer', {}).get('lr') == wrapper['optimizer']['lr']
    say(f'--from {printable(checkpoint)}: {what}' + f"; at {SHARE_OF_RATE} of the recipe's learning rate" * kept)


def add_options(settings: dict, recipe: 'Config', options: dict[str, str]) -> None:
    """Add what `--cfg-options` changes to the settings of a config that inherits the recipe.

    Raise ValueError for a setting that nothing reads, or a value of another type.
    """
    from mixmae_mm.utils.cfg_options import put_options

    inherited = recipe._cfg_dict.to_dict()
    recipe.merge_from_dict(copy.deepcopy(settings))
    put_options(recipe, options)
    changed = recipe._cfg_dict.to_dict()
    for key in options:
        *places, name = key.split('.')
        here, base, value = settings, inherited, changed
        for place in places:
            if isinstance(value[place], list | tuple):  # which a config can only replace as a whole
                name = place
                break
            base = {} if here.get('_delete_') else base.get(place) or {}
            here, value = here.setdefault(place, {}), value[place]
        here[name] = value[name]
        if isinstance(value[name], dict) and isinstance(base.get(name), dict) and not here.get('_delete_'):
            here[name] = dict(_delete_=True, **value[name])


def write_config(args: argparse.Namespace) -> Path:
    """Write the config that does what the command line asks for.

    Raise ValueError as `settings_of`, `start_from` and `add_options` do, or if the device is missing or the folder has
    another config.
    """
    from mixmae_mm.utils import compat

    compat.apply()  # before torch and the libraries that it fixes
    import torch
    from mmengine.config import Config

    from mixmae_mm.utils.launching import load_config

    if str(args.device).startswith('cuda') and not torch.cuda.is_available():
        raise ValueError(f'--device {args.device}: no such GPU is visible here; leave it out, or use cpu')
    recipe = load_config(args.recipe)
    settings = settings_of(args, recipe._cfg_dict.to_dict())
    if args.start:
        start_from(args, recipe, settings)
    add_options(settings, load_config(args.recipe), args.cfg_options)
    command = printable(shlex.join(['mixmae', 'pretrain', *sys.argv[1:]]))
    base = args.recipe.relative_to(CONFIGS).as_posix()
    path = Path(args.out, 'configs', 'pretrain.py')
    content = f"_base_ = 'mixmae_mm::{base}'\n\n{Config(settings).pretty_text}"
    if path.exists() and path.read_text(encoding='utf-8').partition('\n')[2] != content:
        unused = not any(Path(args.out).glob('*.pth'))
        raise ValueError(
            f'{path} already exists with other settings: run it with mixmae train, after editing it if needed, '
            f'{"delete it, as no checkpoint was made with it, " if unused else ""}or name another folder with --out'
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'# {command}\n{content}', encoding='utf-8')
    return path


def main() -> None:
    """Write the config, and train with it."""
    args = parse_args()
    if args.device:  # before torch looks for GPUs
        os.environ['CUDA_VISIBLE_DEVICES'] = dict(cpu='').get(args.device, args.device.partition(':')[2] or '0')
    console.start()  # before the libraries that print
    from mixmae_mm.utils.errors import readable_errors

    with readable_errors(args.debug):
        config = write_config(args)
    resume = ['--resume', args.resume] if args.resume else []
    shown = [f'--{name}' for name in ('debug', 'verbose', 'quiet') if getattr(args, name)]
    sys.argv = [sys.argv[0], str(config), '--work-dir', args.out, *resume, *shown]
    runpy.run_path(str(Path(__file__).with_name('train.py')), run_name='__main__')


if __name__ == '__main__':
    main()
