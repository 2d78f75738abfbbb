"""Command-line options of the tools that draw, and the images that they draw."""

import argparse
from pathlib import Path

from mmengine.config import Config

from mixmae_mm.apis.reconstruction_inferencer import find_images
from mixmae_mm.datasets.image_reader import Reading
from mixmae_mm.utils.arguments import ImageSize, counted, expanded
from mixmae_mm.utils.launching import Settings, load_config
from mixmae_mm.utils.names import expand
from mixmae_mm.visualization.image_grid import can_be_written


def drawing_parser(description: str, out: str) -> argparse.ArgumentParser:
    """Make a parser of what every tool takes that draws what a trained model makes of images."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument('config', type=expand, help='config of the pre-training, or of a transfer')
    parser.add_argument('checkpoint', type=expand, help='checkpoint that it wrote')
    parser.add_argument('--out', type=image_file, default=Path(out), help='image to write (%(default)s)')
    parser.add_argument('--seed', type=not_negative, default=0, help='decides what is chosen at random (%(default)s)')
    parser.add_argument('--cfg-options', nargs='+', action=Settings, help='config settings to override: a.b=value')
    parser.add_argument('--debug', action='store_true', help='show errors with their whole traceback')
    return parser


def add_images(parser: argparse.ArgumentParser, num: int | None = None) -> None:
    """Add the options for images, and for their number unless the tool has its own."""
    text = "folders or files (the config's own training images)"
    parser.add_argument('--images', nargs='+', type=expand, help=text)
    if num is not None:
        parser.add_argument('--num-images', type=counted, default=num, help='images to take of more (%(default)s)')


def add_size(parser: argparse.ArgumentParser) -> None:
    """Add the option for the size of images."""
    text = 'pixels that images are brought to: the more, the finer the patches (what the encoder is made for)'
    parser.add_argument('--image-size', action=ImageSize, help=text)


def add_stage(parser: argparse.ArgumentParser) -> None:
    """Add the options for features of patches."""
    text = 'stage of a MixMIMSwin, or block of a ViT, from 0 or, negative, from the end (what the encoder gives last)'
    parser.add_argument('--stage', type=int, help=text)


def image_file(text: str) -> Path:
    """Read the name of an image to write."""
    if not can_be_written(Path(text)):
        raise argparse.ArgumentTypeError(f'{text}: give a name with an extension of images, such as .png')
    return expanded(text)


def not_negative(text: str) -> int:
    """Read a number of 0 or more."""
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f'{number}: give 0 or more')
    return number


def point(text: str) -> tuple[float, float]:
    """Read a point as shares of width and height, such as 0.5,0.25."""
    try:
        x, y = (float(part) for part in text.split(','))
    except ValueError:
        raise argparse.ArgumentTypeError(f'{text}: give x,y as shares of width and height, such as 0.5,0.25') from None
    if not (0 <= x <= 1 and 0 <= y <= 1):
        raise argparse.ArgumentTypeError(f'{text}: both lie from 0 to 1, which is the right or lower edge')
    return x, y


def patch_at(place: tuple[float, float], grid: tuple[int, int]) -> tuple[int, int]:
    """Return the row and column of the patches (h, w) in which a point (x, y) lies."""
    return tuple(min(int(share * count), count - 1) for share, count in zip(place[::-1], grid, strict=True))


def middle_of(place: tuple[int, int], grid: tuple[int, int]) -> tuple[float, float]:
    """Return the middle (x, y) of a patch, as shares of width and height."""
    return (place[1] + 0.5) / grid[1], (place[0] + 0.5) / grid[0]


def read_config(args: argparse.Namespace) -> Config:
    """Read the config and put the command line's settings over it."""
    return load_config(args.config, args.cfg_options)


def own_images(config: Config) -> list[str]:
    """Name the folder that a config trains on.

    Raises:
        ValueError: it names none.
    """
    folder = config.get('train_dataloader', {}).get('dataset', {}).get('data_root')
    if not folder:
        raise ValueError(f'{config.filename} names no train_dataloader.dataset.data_root: give --images')
    return [folder]


def choose(args: argparse.Namespace, config: Config, reading: Reading, num_sources: int = 1) -> list[str]:
    """List the images that the command line asks for, `--num-images` groups of `num_sources`.

    Raises:
        ValueError: a place does not exist, or there are fewer images than in a group.
    """
    places = args.images or own_images(config)
    return find_images(places, args.num_images * num_sources, num_sources, args.seed, reading.extensions)
