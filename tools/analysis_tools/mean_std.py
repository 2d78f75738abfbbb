"""Measure the mean and the standard deviation of each channel, to normalize images that are not photos by.

    python tools/analysis_tools/mean_std.py FOLDER [--num-images 5000] [--workers 4] [--json]
    python tools/analysis_tools/mean_std.py FOLDER --bands [0 1 2] [--channels-first]  TIFF, .npy: all bands or these
    python tools/analysis_tools/mean_std.py FOLDER --config CONFIG  as this config's training reads them

FOLDER may also be a zip or tar file. Every pixel counts the same, all images are read once, and memory holds a few
of them. Sums are in float64, about each image's own mean, so that large numbers lose nothing. What cannot be read,
and files of other extensions, are left out and counted. At the end stand the lines for a config.

Letters: H x W pixels, C channels.
"""

import argparse
import json
import sys
from contextlib import redirect_stdout
from typing import NamedTuple

import mixmae_mm
from mixmae_mm.utils import compat

compat.apply()  # before torch and the libraries that it fixes

import numpy as np
from rich.console import Console
from rich.progress import track
from torch.utils.data import DataLoader, Dataset

from mixmae_mm.datasets import CorruptImageError, ImageArchive, ImageFolder, LoadImage, LoadMultispectral
from mixmae_mm.datasets.archives import ARCHIVES
from mixmae_mm.datasets.image_reader import Reading, reading_of
from mixmae_mm.datasets.transforms.multispectral import BAND_EXTENSIONS
from mixmae_mm.utils.errors import readable_errors
from mixmae_mm.utils.launching import load_config
from mixmae_mm.utils.names import expand


class Moments(NamedTuple):
    """What is known of some pixels."""

    count: int
    """Pixels."""
    mean: np.ndarray
    """Of each channel, (C,)."""
    squares: np.ndarray
    """Sum of squared distances from the mean, (C,)."""

    @classmethod
    def of(cls, pixels: np.ndarray) -> 'Moments':
        """Measure an image (H, W, C) or (H, W)."""
        flat = pixels.reshape(-1, pixels.shape[2] if pixels.ndim == 3 else 1).astype(np.float64)
        mean = flat.mean(axis=0)
        return cls(len(flat), mean, np.square(flat - mean).sum(axis=0))

    def merge(self, other: 'Moments') -> 'Moments':
        """Join two sets of pixels, without a difference of large numbers (Chan, Golub and LeVeque 1983)."""
        count, apart = self.count + other.count, other.mean - self.mean
        mean = self.mean + apart * (other.count / count)
        between = np.square(apart) * (self.count * other.count / count)
        return Moments(count, mean, self.squares + other.squares + between)

    @property
    def std(self) -> np.ndarray:
        """Standard deviation of each channel, of all pixels as they are: (C,)."""
        return np.sqrt(self.squares / self.count)


class Measured(Dataset):
    """Moments of single images, or why one cannot be read.

    Args:
        images: A dataset in `test_mode`, whose images end as `img`.
        chosen: Which of them.
    """

    def __init__(self, images: ImageFolder | ImageArchive, chosen: np.ndarray) -> None:
        self.images, self.chosen = images, chosen

    def __len__(self) -> int:
        """Count the chosen images."""
        return len(self.chosen)

    def __getitem__(self, index: int) -> Moments | str:
        """Measure one."""
        try:
            return Moments.of(self.images[int(self.chosen[index])]['img'])
        except CorruptImageError as error:
            return str(error)


def open_images(args: argparse.Namespace) -> ImageFolder | ImageArchive:
    """List what is to be read."""
    reading = Reading(LoadImage())
    if args.config:
        reading = reading_of(load_config(args.config))
    elif args.bands is not None:
        reading = Reading(LoadMultispectral(args.bands or None, channels_first=args.channels_first), BAND_EXTENSIONS)
    kind = ImageArchive if args.folder.lower().endswith(ARCHIVES) else ImageFolder
    return kind(args.folder, [reading.load], test_mode=True, extensions=args.extensions or reading.extensions)


def choose(total: int, wanted: int | None, seed: int) -> np.ndarray:
    """Draw so many of all images, in their order; all of them where not fewer are wanted."""
    if wanted is None or wanted >= total:
        return np.arange(total)
    return np.sort(np.random.default_rng(seed).choice(total, wanted, replace=False))


def measure(args: argparse.Namespace) -> dict:
    """Go through the images.

    Raises:
        ValueError: nothing can be read, or images differ in their number of channels.
    """
    images = open_images(args)
    measured = Measured(images, choose(len(images), args.num_images, args.seed))
    loader = DataLoader(measured, batch_size=16, num_workers=args.workers, collate_fn=list)
    total, corrupt = None, []
    for batch in track(loader, 'measuring', console=Console(stderr=True), transient=True, disable=args.json):
        corrupt += [one for one in batch if isinstance(one, str)]
        for one in batch:
            if not isinstance(one, str):
                total = one if total is None else _checked(total, one).merge(one)
    if total is None:
        raise ValueError(f'none of {len(measured)} images of {args.folder!r} can be read; the first: {corrupt[0]}')
    return dict(
        mean=total.mean.tolist(), std=total.std.tolist(), pixels=total.count,
        images=len(measured) - len(corrupt), corrupt=corrupt, contents=images.data_list.contents,
    )  # fmt: skip


def _checked(total: Moments, one: Moments) -> Moments:
    """Return the first where both have as many channels.

    Raises:
        ValueError: they do not.
    """
    if len(total.mean) != len(one.mean):
        raise ValueError(
            f'some images have {len(total.mean)} bands and others {len(one.mean)}: choose those that all have with '
            '--bands, or measure them apart'
        )
    return total


def tell(result: dict) -> None:
    """Print the numbers, what was left out, and lines for a config."""
    print(f'{result["images"]:,} images, {result["pixels"]:,} pixels')
    for channel, (mean, std) in enumerate(zip(result['mean'], result['std'], strict=True)):
        print(f'channel {channel}: mean {mean:.6g}, standard deviation {std:.6g}')
    print(f'files: {result["contents"]}')
    if result['corrupt']:
        print(f'{len(result["corrupt"])} corrupt and left out:', *result['corrupt'][:3], sep='\n  ')
    if min(result['std']) == 0:
        print('a channel with standard deviation 0 says nothing: leave it out with --bands')
    mean, std = (', '.join(f'{number:.6g}' for number in result[name]) for name in ('mean', 'std'))
    print(f'\nmodel = dict(data_preprocessor=dict(\n    mean=[{mean}],\n    std=[{std}]))')


def parse_args(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description='Mean and standard deviation of each channel')
    parser.add_argument('folder', type=expand, help='folder of images at any depth, or a zip or tar file')
    parser.add_argument('--bands', type=int, nargs='*', help='read TIFF and .npy with all bands, or these, from 0')
    parser.add_argument('--channels-first', action='store_true', help='.npy files hold (C, H, W)')
    parser.add_argument('--config', type=expand, help="read as this config's training does")
    parser.add_argument('--extensions', nargs='+', help='of the names of images, such as .npy')
    parser.add_argument('--num-images', type=int, help='read so many, drawn at random (all)')
    parser.add_argument('--seed', type=int, default=0, help='of that draw (%(default)s)')
    parser.add_argument('--workers', type=int, default=0, help='processes that read images (%(default)s)')
    parser.add_argument('--json', action='store_true', help='print the result as one JSON line')
    parser.add_argument('--debug', action='store_true', help='show errors with their whole traceback')
    args = parser.parse_args(arguments)
    if args.num_images is not None and args.num_images < 1:
        parser.error(f'--num-images takes 1 or more, got {args.num_images}')
    if args.config and args.bands is not None:
        parser.error('--config and --bands exclude each other: the config says itself which bands are read')
    return args


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    args = parse_args(arguments)
    with readable_errors(args.debug), redirect_stdout(sys.stderr):  # what is logged is no result
        result = measure(args)
    if args.json:
        print(json.dumps(dict(result, version=mixmae_mm.__version__)))
    else:
        tell(result)


if __name__ == '__main__':
    main()
