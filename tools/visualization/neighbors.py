"""Draw the nearest neighbors of images among those of a folder, by the cosine of their features.

    python tools/visualization/neighbors.py CONFIG CHECKPOINT --of IMAGES_OR_FOLDER --among FOLDER [--k 8]
    python tools/visualization/neighbors.py CONFIG CHECKPOINT --of IMAGES --features features.npz

One row an image, its neighbors from the most similar down; an image is no neighbor of itself. Beside the PNG lies
a page with the names (.html, one file). `features.npz` is what `FeatureExtractor.save` wrote (docs/features.md).
"""

import argparse
import os
from typing import NamedTuple

import mixmae_mm
from mixmae_mm.utils import compat

compat.apply()  # before torch and the libraries that it fixes

import numpy as np
from mmengine.config import Config

from mixmae_mm.apis.drawing_options import drawing_parser, read_config
from mixmae_mm.apis.feature_extractor import FeatureExtractor
from mixmae_mm.apis.patch_similarity import nearest, unit
from mixmae_mm.apis.reconstruction_inferencer import find_images
from mixmae_mm.apis.saved import check_same_encoder, read_saved
from mixmae_mm.utils.arguments import counted
from mixmae_mm.utils.errors import readable_errors
from mixmae_mm.utils.names import expand, printable
from mixmae_mm.visualization import Tile, draw_tiles
from mixmae_mm.visualization.image_grid import BLUE
from mixmae_mm.visualization.pages import Figure, page_of


class Neighbors(NamedTuple):
    """Images, each with its neighbors, from the most similar down."""

    asked: list[str]
    """B files."""
    found: list[list[str]]
    """Up to k files for each."""
    cosines: list[list[float]]
    """How similar each of those is."""


def find(asked: list[str], of_asked: np.ndarray, names: list[str], known: np.ndarray, k: int, less: bool) -> Neighbors:
    """Find the neighbors of images.

    Args:
        asked: Files.
        of_asked: Their features, (B, C).
        names: Where neighbors are looked for.
        known: Features of those, (N, C).
        k: How many.
        less: Compare features less the mean of `known`.
    """
    center = known.mean(0, dtype=np.float64) if less else None
    places = np.array([os.path.realpath(name) for name in names])
    barred = np.stack([places == os.path.realpath(name) for name in asked])
    order, cosines = nearest(unit(of_asked, center), unit(known, center), k, barred)
    kept = [
        [i for i, cosine in zip(*pair, strict=True) if cosine > -np.inf] for pair in zip(order, cosines, strict=True)
    ]
    found = [[names[i] for i in row] for row in kept]
    return Neighbors(asked, found, [row[: len(some)].tolist() for row, some in zip(cosines, kept, strict=True)])


def look_up(args: argparse.Namespace, config: Config) -> tuple[Neighbors, FeatureExtractor, int]:
    """Compute or read what the command line asks for; give also among how many images neighbors were looked for.

    Raises:
        ValueError: places without images, images that cannot be read, or features of another encoder.
    """
    extract = FeatureExtractor.from_config(config, args.checkpoint)
    asked = find_images(args.of, args.num_images, 1, args.seed, extract.read.reading.extensions)
    of_asked = extract.encode(extract.open_all(asked))
    if args.features:
        names, known = read_saved(args.features)
        check_same_encoder(extract, names, known, args.features)
    else:
        names, known = extract.with_names(args.among)
    found = find(asked, of_asked, names, known, args.k, args.center)
    if not all(found.found):
        raise ValueError(f'{asked[0]} is the only image among those given: name a folder with others')
    return found, extract, len(names)


def folder_of(path: str) -> str:
    """Name the folder that a file lies in, which often is its class."""
    return printable(os.path.basename(os.path.dirname(os.path.abspath(path))))


def below(path: str, cosine: float | None, several: bool) -> str:
    """Write what stands below an image: its similarity, and its folder where there are several."""
    parts = [] if cosine is None else [f'{cosine:.2f}']
    return ' '.join([*parts, *([folder_of(path)] if several else [])])


def draw(found: Neighbors, extract: FeatureExtractor, title: str, caption: str) -> tuple[object, str]:
    """Draw the sheet, and write the page, with images as the extractor reads them."""
    several = len({folder_of(path) for row in found.found for path in row}) > 1
    sheet, page = [], []
    for asked, names, cosines in zip(*found, strict=True):
        images = extract.as_shown(extract.open_all([asked, *names]))
        texts = [below(path, cosine, several) for path, cosine in zip([asked, *names], [None, *cosines], strict=True)]
        frames = [BLUE, *[None] * len(names)]
        sheet.append([Tile(*parts[:2], (), parts[2]) for parts in zip(images, texts, frames, strict=True)])
        headings = ['asked for', *(f'{cosine:.3f}' for cosine in cosines)]
        page.append([Figure(*parts) for parts in zip(images, headings, map(printable, [asked, *names]), strict=True)])
    titles = ['image', *(f'{number + 1}' for number in range(max(map(len, found.found))))]
    return draw_tiles(sheet, titles, caption), page_of(title, caption, page)


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = drawing_parser(f'Draw nearest neighbors (mixmae_mm {mixmae_mm.__version__})', 'neighbors.png')
    parser.add_argument('--of', type=expand, nargs='+', required=True, help='images or folders to find neighbors of')
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument('--among', type=expand, nargs='+', help='folders or images that neighbors are looked for among')
    where.add_argument('--features', type=expand, help='their features, saved before: .npz or .parquet')
    parser.add_argument('--num-images', type=counted, default=6, help='images to take of more (%(default)s)')
    parser.add_argument('--k', type=counted, default=8, help='neighbors of each (%(default)s)')
    parser.add_argument('--center', action='store_true', help='compare features less their mean over the neighbors')
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Load, encode, find, draw, write."""
    args = parse_args(arguments)
    with readable_errors(args.debug):
        found, extract, number = look_up(args, read_config(args))
        less = ', less their mean' if args.center else ''
        caption = f'Nearest of {number:,} images, by the cosine (below them) of pooled features{less}.'
        sheet, page = draw(found, extract, f'Nearest neighbors by {args.checkpoint}', caption)
        args.out.parent.mkdir(parents=True, exist_ok=True)
        sheet.save(args.out)
        args.out.with_suffix('.html').write_text(page, encoding='utf-8', errors='backslashreplace')
    for asked, names, cosines in zip(*found, strict=True):
        print(f'{printable(asked)}: {printable(names[0])} ({cosines[0]:.3f})')
    print(f'{args.out}, {args.out.with_suffix(".html")}: neighbors of {len(found.asked)} image(s) among {number:,}')


if __name__ == '__main__':
    main()
