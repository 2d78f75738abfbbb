"""Draw features of patches as colors: their three principal components as red, green and blue, and each on its own.

    python tools/visualization/patch_pca.py CONFIG CHECKPOINT --images FOLDER_OR_FILES [--stage 1] [--image-size 192]
    python tools/visualization/patch_pca.py CONFIG CHECKPOINT --foreground above    # the first component cuts it out

The components are those of all images together: patches of like color are alike, whichever image they are of.
"""

import argparse

import mixmae_mm
from mixmae_mm.utils import compat

compat.apply()  # before torch and the libraries that it fixes

import numpy as np

from mixmae_mm.apis.drawing_options import (
    add_images,
    add_size,
    add_stage,
    choose,
    drawing_parser,
    read_config,
)
from mixmae_mm.apis.patch_features import patch_extractor
from mixmae_mm.apis.patch_pca import Components, principal_components, scale_robustly
from mixmae_mm.utils.errors import readable_errors
from mixmae_mm.visualization import Tile, draw_tiles
from mixmae_mm.visualization.tiles import resize

BACKGROUND = 225  # the gray of patches that are left out


def find_foreground(features: np.ndarray, side: str, threshold: float) -> np.ndarray:
    """Tell which patches lie above or below a threshold of the first component, scaled to 0 to 1: bool (B, h, w)."""
    first = scale_robustly(principal_components(features).scores)[..., 0]
    return first > threshold if side == 'above' else first < threshold


def rows_of(images: np.ndarray, components: Components, among: np.ndarray | None) -> list[list[Tile]]:
    """Make the tiles of each image: itself, three components as a color, each as a gray."""
    scaled = scale_robustly(components.scores, among)
    if among is not None:
        scaled = np.where(among[..., None], scaled, BACKGROUND / 255)
    levels = (255 * scaled).round().astype(np.uint8)
    rows = []
    for image, level in zip(images, levels, strict=True):
        colors = resize(level, image.shape[:2])
        rows.append([Tile(image), Tile(colors), *(Tile(colors[..., [i] * 3]) for i in range(3))])
    return rows


def describe(components: Components, images: int, foreground: str | None, threshold: float) -> str:
    """Say what the sheet shows."""
    text = (
        f'Components of {components.scores[0, ..., 0].size} patches of each of {images} image(s) together, '
        f'each from its 2nd to its 98th percentile; the three make up {components.shares.sum():.0%} of the variance.'
    )
    if foreground is None:
        return text
    return f'{text} Only patches with a first component {foreground} {threshold:g} of its range; the others are gray.'


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = drawing_parser(f'Draw patch features as colors (mixmae_mm {mixmae_mm.__version__})', 'pca.png')
    add_images(parser, 6)
    add_size(parser)
    add_stage(parser)
    parser.add_argument('--foreground', choices=['above', 'below'], help='side of the threshold that is the foreground')
    parser.add_argument('--threshold', type=float, default=0.5, help='of the first component, 0 to 1 (%(default)s)')
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Load, encode, draw, write."""
    args = parse_args(arguments)
    with readable_errors(args.debug):
        config = read_config(args)
        extract = patch_extractor(config, args.checkpoint, args.stage, args.image_size)
        images = extract.open_all(choose(args, config, extract.read.reading))
        features = extract.encode(images, 'maps').transpose(0, 2, 3, 1)
        among = find_foreground(features, args.foreground, args.threshold) if args.foreground else None
        components = principal_components(features, among=among)
        titles = [
            'image',
            'color',
            *(f'component {i + 1}: {share:.0%}' for i, share in enumerate(components.shares)),
        ]
        caption = describe(components, len(images), args.foreground, args.threshold)
        args.out.parent.mkdir(parents=True, exist_ok=True)
        draw_tiles(rows_of(extract.as_shown(images), components, among), titles, caption).save(args.out)
    shares = ', '.join(f'{share:.1%}' for share in components.shares)
    print(f'{args.out}: {len(images)} image(s), components with {shares} of the variance')


if __name__ == '__main__':
    main()
