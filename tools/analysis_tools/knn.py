"""Evaluate an encoder's features by their nearest neighbors: no training, a minute, and a number to compare.

    python tools/analysis_tools/knn.py CONFIG [CHECKPOINT] --train FOLDER --val FOLDER [--linear-probe] [--json]

The folders hold one folder a class; images are read as the config's training reads them. Without a checkpoint the
encoder is as initialized, which is what to compare with. The protocols: mixmae_mm/evaluation/functional.
"""

import argparse
import json
import sys
from contextlib import redirect_stdout

import mixmae_mm
from mixmae_mm.utils import compat

compat.apply()  # before torch and the libraries that it fixes

import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor

from mixmae_mm.apis import FeatureExtractor
from mixmae_mm.apis.model import input_size
from mixmae_mm.datasets import ImageFolder
from mixmae_mm.evaluation import class_folders, knn_accuracy, label_by_folder, probe_accuracy
from mixmae_mm.utils.arguments import ImageSize, counted
from mixmae_mm.utils.errors import readable_errors
from mixmae_mm.utils.launching import Settings, load_config
from mixmae_mm.utils.names import expand, printable
from mixmae_mm.utils.seed import seed_everything


def features_of(folder: str, classes: list[str], extract: FeatureExtractor) -> tuple[Tensor, Tensor]:
    """Compute the features (B, D) of a folder's images, and their labels (B,); corrupt ones are left out."""
    listing = ImageFolder(folder, extensions=extract.read.reading.extensions).data_list
    labels = label_by_folder(listing, classes)
    console = Console(stderr=True)
    names, features = extract.with_names(track(labels, 'computing features', console=console))
    corrupt = len(labels) - len(names)
    print(f'{printable(folder)}: {listing.contents}; {corrupt:,} of {len(labels):,} images corrupt', file=sys.stderr)
    return torch.from_numpy(features), torch.tensor([labels[name] for name in names])


def judge(args: argparse.Namespace) -> dict:
    """Compute the accuracy that the command line asks for."""
    config = load_config(args.config, args.cfg_options)
    seed_everything(args.seed)
    size, classes = input_size(config, args.image_size), class_folders(args.train)
    settings = dict(image_size=size, batch_size=args.batch_size, threads=max(1, args.workers), device=args.device)
    extract = FeatureExtractor.from_config(config, args.checkpoint, **settings)
    parts = [*features_of(args.train, classes, extract), *features_of(args.val, classes, extract)]
    result = dict(top1=knn_accuracy(*parts, args.k, args.temperature, len(classes)))
    if args.linear_probe:
        result['probe_top1'] = probe_accuracy(*parts, len(classes))
    return dict(result, chance=1 / len(classes), k=args.k, temperature=args.temperature, checkpoint=args.checkpoint)


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=f'Nearest neighbors (mixmae_mm {mixmae_mm.__version__})')
    parser.add_argument('config', type=expand, help='config with the encoder as model.backbone')
    parser.add_argument('checkpoint', nargs='?', type=expand, help='its weights; without, the encoder stays untrained')
    parser.add_argument('--train', type=expand, required=True, help='folder of class folders: the neighbors')
    parser.add_argument('--val', type=expand, required=True, help='folder of class folders: what is classified')
    parser.add_argument('--k', type=int, default=20, help='neighbors (%(default)s)')
    parser.add_argument('--temperature', type=float, default=0.07, help='of the votes (%(default)s)')
    parser.add_argument('--linear-probe', action='store_true', help='train a linear classifier on the features, too')
    parser.add_argument('--image-size', action=ImageSize, help="pixels (the encoder's img_size)")
    parser.add_argument('--batch-size', type=counted, default=64, help='images at a time (%(default)s)')
    parser.add_argument('--device', help='where to compute (a GPU where there is one)')
    parser.add_argument('--workers', type=int, default=4, help='threads that read images (%(default)s)')
    parser.add_argument('--seed', type=int, default=0, help='of the untrained encoder (%(default)s)')
    parser.add_argument('--json', action='store_true', help='print the result as one JSON line')
    parser.add_argument('--cfg-options', nargs='+', action=Settings, help='config settings to override: a.b=value')
    parser.add_argument('--debug', action='store_true', help='show errors with their whole traceback')
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Judge and print."""
    args = parse_args(arguments)
    with readable_errors(args.debug), redirect_stdout(sys.stderr):  # what is logged is no result
        result = judge(args)
    if args.json:
        print(json.dumps(result))
    else:
        probe = f', linear probe {result["probe_top1"]:.1%}' if args.linear_probe else ''
        source = args.checkpoint or 'untrained encoder'
        print(f'kNN top-1 {result["top1"]:.1%}{probe} (chance {result["chance"]:.1%}), {source}')


if __name__ == '__main__':
    main()
