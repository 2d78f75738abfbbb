"""What the drawings share: options, choice of images, patch features, and heat maps."""

import argparse
from collections.abc import Callable

import numpy as np
from matplotlib import colormaps
from mmengine.config import Config
from torch import Tensor

from mixmae_mm.apis.feature_extractor import FeatureExtractor
from mixmae_mm.apis.model import ask_for_maps, input_size
from mixmae_mm.apis.reconstruction_inferencer import choose_image_files
from mixmae_mm.datasets.image_reader import ImageLoader
from mixmae_mm.structures import Size
from mixmae_mm.utils.arguments import ImageSize, counted
from mixmae_mm.utils.names import expand
from mixmae_mm.visualization import Mark
from mixmae_mm.visualization.image_grid import Color

HEAT, FADED = 0.7, 0.6  # share of the color in a heat map, and of white where there is no value


def add_images(parser: argparse.ArgumentParser) -> None:
    """Add the option for images."""
    parser.add_argument('--images', nargs='+', type=expand, help="folders or files (the config's training images)")


def add_number(parser: argparse.ArgumentParser, what: str, number: int) -> None:
    """Add the option for how many images or mixtures to draw."""
    parser.add_argument(f'--num-{what}', type=counted, default=number, help=f'{what} to draw at most (%(default)s)')


def add_size(parser: argparse.ArgumentParser) -> None:
    """Add the option for the size of images."""
    parser.add_argument('--image-size', action=ImageSize, help='image size in pixels (what the encoder is made for)')


def add_stage(parser: argparse.ArgumentParser) -> None:
    """Add the option for the depth of patch features."""
    text = 'stage of a Swin, from 0, or block of a ViT, from 0 or, if negative, from the end (the last map)'
    parser.add_argument('--stage', type=int, help=text)


def choose(
    args: argparse.Namespace, config: Config, image_loader: ImageLoader, wanted: int, num_sources: int = 1
) -> list[str]:
    """List the images that the command line asks for, up to `wanted` groups of `num_sources`."""
    own = config.get('train_dataloader', {}).get('dataset', {}).get('data_root')
    if not (args.images or own):
        raise ValueError(f'{config.filename} has no train_dataloader.dataset.data_root: add --images')
    return choose_image_files(
        args.images or [own], wanted * num_sources, num_sources, args.seed, image_loader.extensions
    )


def point(text: str) -> tuple[float, float]:
    """Parse a point as fractions of width and height, such as 0.5,0.25."""
    x, y = (float(part) for part in text.split(','))
    if not (0 <= x <= 1 and 0 <= y <= 1):
        raise ValueError(text)
    return x, y


def mark_at(place: tuple[float, float], grid: Size, color: Color) -> Mark:
    """Mark the patch of a grid (h, w) in which a point (x, y) lies."""
    return Mark(
        *(min(int(part * count), count - 1) for part, count in zip(place[::-1], grid, strict=True)), grid, color
    )


def patch_features(args: argparse.Namespace, config: Config) -> tuple[FeatureExtractor, Callable]:
    """Return a reader of images, and a function that computes patch features (B, h, w, C) of the last map or `--stage`.

    Features of a stage are normalized to mean 0 and variance 1 patch by patch: only the last map has a trained norm.
    """
    ask_for_maps(config, None if args.stage is None else [args.stage])
    size = input_size(config, args.image_size)
    extract = FeatureExtractor.from_config(config, args.checkpoint, image_size=size, device=args.device)

    def compute(pixels: Tensor) -> np.ndarray:
        maps = extract.encode(pixels, 'maps').transpose(0, 2, 3, 1).astype(np.float64)
        if args.stage is None:
            return maps
        return (maps - maps.mean(-1, keepdims=True)) / np.sqrt(maps.var(-1, keepdims=True) + 1e-5)

    return extract, compute


def resize(values: np.ndarray, size: Size) -> np.ndarray:
    """Enlarge each value to a block of pixels: (h, w, ...) -> (H, W, ...)."""
    rows, columns = (np.arange(side) * count // side for side, count in zip(size, values.shape[:2], strict=True))
    return values[rows[:, None], columns]


def heat_map(image: np.ndarray, values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Overlay an image with values (h, w) from low to high, pale where they are NaN: uint8 (H, W, 3) -> same."""
    gray = image.mean(-1, keepdims=True)
    full = resize(values, image.shape[:2])
    shares = np.nan_to_num((full - low) / max(high - low, 1e-12)).clip(0, 1)
    hot = HEAT * 255 * colormaps['inferno'](shares)[..., :3] + (1 - HEAT) * gray
    return np.where(np.isnan(full)[..., None], FADED * 255 + (1 - FADED) * gray, hot).round().astype(np.uint8)
