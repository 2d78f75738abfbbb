"""Draw which patches of two images are alike: for points of the first, how similar every patch of both is.

    python tools/visualization/patch_similarity.py CONFIG CHECKPOINT --images A B [--points 0.3,0.4 0.7,0.5]

Without points, those are taken that have clear matches in the second image: best matches of each other first.
"""

import argparse
from collections.abc import Sequence

import mixmae_mm
from mixmae_mm.utils import compat

compat.apply()  # before torch and the libraries that it fixes

import numpy as np

from mixmae_mm.apis.drawing_options import (
    add_size,
    add_stage,
    drawing_parser,
    middle_of,
    patch_at,
    point,
    read_config,
)
from mixmae_mm.apis.patch_features import patch_extractor
from mixmae_mm.apis.patch_similarity import Match, best_match, clear_matches, unit
from mixmae_mm.utils.arguments import counted
from mixmae_mm.utils.errors import readable_errors
from mixmae_mm.utils.names import expand
from mixmae_mm.visualization import Mark, Tile, draw_tiles, heat_map, join_marks
from mixmae_mm.visualization.image_grid import color_of


def marks_of(matches: Sequence[Match], grid: tuple[int, int], first: int = 0) -> tuple[list[Mark], list[Mark]]:
    """Mark patches of the first image and their best matches in the second, in colors counted from `first`."""
    colors = [color_of(first + number) for number in range(len(matches))]
    pairs = list(zip(matches, colors, strict=True))
    asked = [Mark(*middle_of(match.place, grid), color) for match, color in pairs]
    return asked, [Mark(*middle_of(match.best, grid), color) for match, color in pairs]


def rows_of(images: np.ndarray, features: np.ndarray, matches: Sequence[Match]) -> list[list[Tile]]:
    """Make the tiles: both images with all matches, then a row a point with both maps, on one scale.

    Args:
        images: uint8 (2, H, W, 3).
        features: Of length 1, (2, h, w, C).
        matches: What to draw.
    """
    grid = features.shape[1:3]
    rows = [[Tile(image, '', marks) for image, marks in zip(images, marks_of(matches, grid), strict=True)]]
    for number, match in enumerate(matches):
        maps = features @ features[0][match.place]
        scale = float(maps.min()), float(np.delete(maps.ravel(), maps.argmax()).max())
        texts = [f'{maps[0].min():.2f} to 1 (itself)', f'{maps[1].min():.2f} to {match.similarity:.2f}']
        marks = marks_of([match], grid, number)
        parts = zip(images, maps, texts, marks, strict=True)
        rows.append([Tile(heat_map(image, one, *scale), text, ring) for image, one, text, ring in parts])
    return rows


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = drawing_parser(f'Draw patch similarity (mixmae_mm {mixmae_mm.__version__})', 'similarity.png')
    parser.add_argument('--images', type=expand, nargs=2, required=True, metavar=('A', 'B'), help='the two images')
    points = parser.add_mutually_exclusive_group()
    points.add_argument('--points', type=point, nargs='+', help='of A, x,y as shares of width and height')
    points.add_argument('--num-points', type=counted, default=4, help='how many to find (%(default)s)')
    parser.add_argument('--center', action='store_true', help="compare features less both images' mean")
    add_size(parser)
    add_stage(parser)
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Load, encode, draw, write."""
    args = parse_args(arguments)
    with readable_errors(args.debug):
        extract = patch_extractor(read_config(args), args.checkpoint, args.stage, args.image_size)
        images = extract.open_all(args.images)
        maps = extract.encode(images, 'maps').transpose(0, 2, 3, 1)
        features = unit(maps, maps.mean((0, 1, 2)) if args.center else None)
        places = [patch_at(place, features.shape[1:3]) for place in args.points or ()]
        matches = [best_match(place, *features) for place in places] or clear_matches(*features, args.num_points)
        rows = rows_of(extract.as_shown(images), features, matches)
        less = " (less the mean of both images)" if args.center else ''
        caption = (
            f'Cosine of patch features{less} with the ringed patch of A: bright is alike, on one scale a row. '
            'The ring in B is the best match.'
        )
        args.out.parent.mkdir(parents=True, exist_ok=True)
        join_marks(draw_tiles(rows, ['A', 'B'], caption), *rows[0]).save(args.out)
    for match in matches:
        mutual = ', each the best of the other' if match.mutual else ''
        print(f'row, column {match.place} of A, {match.best} of B: {match.similarity:.3f}{mutual}')
    print(args.out)


if __name__ == '__main__':
    main()
