"""Judge an encoder's features by their nearest neighbours: no training, a minute, and a number to compare.

    python tools/analysis/knn.py CONFIG [CHECKPOINT] --train FOLDER --val FOLDER [--k 20] [--json]

The folders hold one folder a class. Without a checkpoint the encoder is as initialised, which is what to compare with.
The protocol stands in mixmae_mm/evaluation/neighbours.py.
"""

import argparse
import json
from collections.abc import Callable

import mixmae_mm  # before the host packages: it mends what is known to break on import

# isort: split
import torch
from mmengine.config import Config
from rich.console import Console
from rich.progress import track
from torch import Tensor
from torch.utils.data import DataLoader

from mixmae_mm.evaluation import class_folders, extract, knn_accuracy, open_pictures
from mixmae_mm.failures import readable_errors
from mixmae_mm.inference.models import build_encoder, normalisation, picture_size
from mixmae_mm.inference.undisturbed import quiet_log
from mixmae_mm.launching import Settings, load_config
from mixmae_mm.seeding import seed_everything


def normaliser(config: Config) -> Callable[[Tensor], Tensor]:
    """Make the function that brings RGB pictures (B, C, H, W), 0 to 255, to what the encoder was trained with."""
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in normalisation(config).values())
    return lambda pictures: (pictures - mean.to(pictures)) / std.to(pictures)


def judge(args: argparse.Namespace) -> dict:
    """Compute the accuracy that the command line asks for."""
    config = load_config(args.config, args.cfg_options)
    seed_everything(args.seed)
    encoder, normalise = build_encoder(config, args.checkpoint), normaliser(config)
    size, classes = picture_size(config, args.image_size), class_folders(args.train)
    datasets = [open_pictures(folder, classes, size) for folder in (args.train, args.val)]
    loaders = [DataLoader(dataset, args.batch_size, num_workers=args.workers) for dataset in datasets]
    console = Console(stderr=True)
    shown = [track(loader, f'features of {loader.dataset.data_root}', console=console) for loader in loaders]
    parts = [extract(encoder, normalise, batches) for batches in shown]
    accuracy = knn_accuracy(*parts[0], *parts[1], args.k, args.temperature, len(classes))
    settings = {name: getattr(args, name) for name in ('k', 'temperature', 'checkpoint')}
    return dict(top1=accuracy, chance=1 / len(classes), **settings)


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=f'Nearest neighbours (mixmae_mm {mixmae_mm.__version__})')
    parser.add_argument('config', help='config with the encoder as model.backbone')
    parser.add_argument('checkpoint', nargs='?', help='its weights; without, the encoder stays untrained')
    parser.add_argument('--train', required=True, help='folder of class folders: the neighbours')
    parser.add_argument('--val', required=True, help='folder of class folders: what is classified')
    parser.add_argument('--k', type=int, default=20, help='neighbours (%(default)s)')
    parser.add_argument('--temperature', type=float, default=0.07, help='of the votes (%(default)s)')
    parser.add_argument('--image-size', type=int, help="pixels a side (the encoder's img_size)")
    parser.add_argument('--batch-size', type=int, default=64, help='pictures at a time (%(default)s)')
    parser.add_argument('--workers', type=int, default=0, help='processes that read pictures (%(default)s)')
    parser.add_argument('--seed', type=int, default=0, help='of the untrained encoder (%(default)s)')
    parser.add_argument('--json', action='store_true', help='print the result as one JSON line')
    parser.add_argument('--cfg-options', nargs='+', action=Settings, help='config settings to override: a.b=value')
    parser.add_argument('--debug', action='store_true', help='show errors with their whole traceback')
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Judge and print."""
    args = parse_args(arguments)
    with readable_errors(args.debug), quiet_log():
        result = judge(args)
    if args.json:
        print(json.dumps(result))
    else:
        top1, chance = result['top1'], result['chance']
        print(f'kNN top-1 {top1:.1%} (chance {chance:.1%}), {args.checkpoint or "untrained encoder"}')


if __name__ == '__main__':
    main()
