"""Draw which patches of two images are similar: for points of the first, how similar every patch of both is."""

import argparse
from typing import NamedTuple

import numpy as np
from drawing import add_size, add_stage, heat_map, mark_at, patch_features, point
from mmengine.config import Config
from PIL import Image

from mixmae_mm.utils.names import expand
from mixmae_mm.visualization import Mark, Panel, draw_grid
from mixmae_mm.visualization.image_grid import color_of

Place = tuple[int, int]
"""Row and column of a patch."""
QUARTERS = [(0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75)]


class Match(NamedTuple):
    """A patch and the most similar one of another image."""

    place: Place
    best: Place
    similarity: float
    mutual: bool
    """Whether this patch is in turn the most similar one to the other."""


def best_match(place: Place, first: np.ndarray, second: np.ndarray) -> Match:
    """Find the best match in `second` for a patch of `first`; both are L2-normalized features of an image (h, w, C)."""
    similarity = second @ first[place]
    best = np.unravel_index(similarity.argmax(), similarity.shape)
    back = np.unravel_index((first @ second[best]).argmax(), first.shape[:2])
    return Match(place, (int(best[0]), int(best[1])), float(similarity[best]), back == place)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this drawing."""
    parser.add_argument('--images', type=expand, nargs=2, required=True, metavar=('A', 'B'), help='the two images')
    text = 'of A: x,y, fractions of width and height (the middle of each quarter)'
    parser.add_argument('--points', type=point, nargs='+', default=QUARTERS, help=text)
    parser.add_argument('--center', action='store_true', help="subtract the mean of both images' features")
    add_size(parser)
    add_stage(parser)


def rows_of(images: np.ndarray, features: np.ndarray, matches: list[Match]) -> list[list[Panel]]:
    """Make the panels: both images with all matches, then a row for each match with both maps, on one scale.

    Images are uint8 (2, H, W, 3), features (2, h, w, C) are L2-normalized.
    """
    grid = features.shape[1:3]
    marks = [[Mark(*place, grid, color_of(i)) for place in match[:2]] for i, match in enumerate(matches)]
    sides = [[pair[side] for pair in marks] for side in range(2)]
    rows = [[Panel(image, name, marks=of) for image, name, of in zip(images, 'AB', sides, strict=True)]]
    for match, pair in zip(matches, marks, strict=True):
        maps = features @ features[0][match.place]
        scale = float(maps.min()), float(np.delete(maps.ravel(), maps.argmax()).max())
        texts = f'{maps[0].min():.2f} to 1 (itself)', f'{maps[1].min():.2f} to {match.similarity:.2f}'
        parts = zip(images, maps, texts, pair, strict=True)
        rows.append([Panel(heat_map(image, one, *scale), below=text, marks=[mark]) for image, one, text, mark in parts])
    return rows


def draw(args: argparse.Namespace, config: Config) -> tuple[Image.Image, str]:
    """Return the image grid and a summary."""
    extract, compute = patch_features(args, config)
    images = extract.open_all(args.images)
    maps = compute(images)
    features = maps - maps.mean((0, 1, 2)) if args.center else maps
    features /= np.maximum(np.linalg.norm(features, axis=-1, keepdims=True), 1e-12)
    places = [mark_at(place, features.shape[1:3], (0, 0, 0))[:2] for place in args.points]
    matches = [best_match(place, *features) for place in places]
    rows = rows_of(extract.as_shown(images), features, matches)
    less = ' (minus the mean of both images)' if args.center else ''
    caption = (
        f'Cosine of patch features{less} with the framed patch of A, on one scale for each row: bright is similar. '
        'The frame in B is the best match.'
    )
    summary = [
        f'row, column {match.place} of A, {match.best} of B: {match.similarity:.3f}{", mutual" if match.mutual else ""}'
        for match in matches
    ]
    return draw_grid(rows, caption), '\n'.join(summary)
