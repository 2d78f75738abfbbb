"""Measure the mean and standard deviation of each channel, to normalize images that are not photos.

    python tools/analysis_tools/mean_std.py FOLDER [--num-images 5000] [--workers 4] [--json]
    python tools/analysis_tools/mean_std.py FOLDER --channels [0 1 2] [--channels-first]  TIFF, .npy: all or these
    python tools/analysis_tools/mean_std.py FOLDER --config CONFIG  as this config's training reads them

Every pixel has the same weight. Sums are in float64, around each image's mean, so that large values lose no precision.
Corrupt files, and files with other extensions, are left out and counted. The output ends with the lines for a config.
"""

import argparse
import json
import sys
from contextlib import redirect_stdout
from functools import partial

import mixmae_mm
from mixmae_mm.utils import compat

compat.apply()  # before torch and the libraries that it fixes

import numpy as np
from rich.console import Console
from rich.progress import track
from torch.utils.data import DataLoader

from mixmae_mm.datasets import CorruptImageError, ImageFolder, LoadImage, LoadMultispectral
from mixmae_mm.datasets.image_reader import ImageLoader, image_loader_of
from mixmae_mm.utils.errors import readable_errors
from mixmae_mm.utils.launching import load_config
from mixmae_mm.utils.names import expand

Moments = tuple[int, np.ndarray, np.ndarray]
"""Number of pixels, and of each channel (C,) the mean and the sum of squared deviations from it."""


def moments(pixels: np.ndarray) -> Moments:
    """Compute the moments of an image (H, W, C) or (H, W)."""
    flat = pixels.reshape(-1, pixels.shape[2] if pixels.ndim == 3 else 1).astype(np.float64)
    mean = flat.mean(axis=0)
    return len(flat), mean, np.square(flat - mean).sum(axis=0)


def merge(one: Moments, other: Moments) -> Moments:
    """Merge the moments of two sets of pixels without cancellation (Chan, Golub and LeVeque 1983)."""
    if len(one[1]) != len(other[1]):
        raise ValueError(
            f'some images have {len(one[1])} channels and others {len(other[1])}: choose those that all have with '
            '--channels, or measure them separately'
        )
    count, apart = one[0] + other[0], other[1] - one[1]
    between = np.square(apart) * (one[0] * other[0] / count)
    return count, one[1] + apart * (other[0] / count), one[2] + other[2] + between


def measured(load: LoadImage, results: dict) -> Moments | str:
    """Read an image and compute its moments; if it is corrupt, return why."""
    try:
        return moments(load(results)['img'])
    except CorruptImageError as error:
        return str(error)


def open_images(args: argparse.Namespace) -> ImageFolder:
    """Open the folder as a dataset that returns the moments of images."""
    image_loader = ImageLoader(LoadImage())
    if args.config:
        image_loader = image_loader_of(load_config(args.config))
    elif args.channels is not None:
        load = LoadMultispectral(args.channels or None, channels_first=args.channels_first)
        image_loader = ImageLoader(load, load.extensions)
    return ImageFolder(
        args.folder, [partial(measured, image_loader.load)], extensions=args.extensions or image_loader.extensions
    )


def measure(args: argparse.Namespace) -> dict:
    """Measure all images, or a random choice of them."""
    images = open_images(args)
    contents, wanted = images.data_list.contents, len(images)
    if args.num_images is not None:
        wanted = min(args.num_images, wanted)
        images.get_subset_(np.sort(np.random.default_rng(args.seed).choice(len(images), wanted, False)).tolist())
    loader = DataLoader(images, batch_size=16, num_workers=args.workers, collate_fn=list)
    total, corrupt = None, []
    for batch in track(loader, 'measuring', console=Console(stderr=True), transient=True, disable=args.json):
        for one in batch:
            if isinstance(one, str):
                corrupt.append(one)
            else:
                total = merge(total, one) if total else one
    if total is None:
        raise ValueError(f'none of {wanted} images of {args.folder!r} can be read; the first: {"".join(corrupt[:1])}')
    pixels, mean, squares = total
    return dict(
        mean=mean.tolist(), std=np.sqrt(squares / pixels).tolist(), pixels=pixels, images=wanted - len(corrupt),
        corrupt=corrupt, contents=contents,
    )  # fmt: skip


def report(result: dict) -> None:
    """Print the numbers, what was left out, and lines for a config."""
    print(f'{result["images"]:,} images, {result["pixels"]:,} pixels; files: {result["contents"]}')
    if result['corrupt']:
        print(f'{len(result["corrupt"])} corrupt and left out:', *result['corrupt'][:3], sep='\n  ')
    if min(result['std']) == 0:
        print('a channel with standard deviation 0 is constant: leave it out with --channels')
    mean, std = (', '.join(f'{number:.6g}' for number in result[name]) for name in ('mean', 'std'))
    print(f'\nmodel = dict(data_preprocessor=dict(\n    mean=[{mean}],\n    std=[{std}]))')


def parse_args(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description='Mean and standard deviation of each channel')
    parser.add_argument('folder', type=expand, help='folder of images at any depth')
    how = parser.add_mutually_exclusive_group()
    how.add_argument('--channels', type=int, nargs='*', help='read all channels of TIFF and .npy, or these, from 0')
    how.add_argument('--config', type=expand, help="read as this config's training does")
    parser.add_argument('--channels-first', action='store_true', help='.npy files hold (C, H, W)')
    parser.add_argument('--extensions', nargs='+', help='of the names of images, such as .npy')
    parser.add_argument('--num-images', type=int, help='read this many, drawn at random (all)')
    parser.add_argument('--seed', type=int, default=0, help='of that draw (%(default)s)')
    parser.add_argument('--workers', type=int, default=0, help='processes that read images (%(default)s)')
    parser.add_argument('--json', action='store_true', help='print the result as one JSON line')
    parser.add_argument('--debug', action='store_true', help='show errors with their whole traceback')
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    args = parse_args(arguments)
    with readable_errors(args.debug), redirect_stdout(sys.stderr):  # only the result goes to stdout
        result = measure(args)
    print(json.dumps(dict(result, version=mixmae_mm.__version__))) if args.json else report(result)


if __name__ == '__main__':
    main()
