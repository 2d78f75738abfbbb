"""Grids of images in rows and columns, with titles, lines of text below, and marks; and heat maps over images.

Letters: H x W pixels, h x w patches.
"""

import textwrap
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib import colormaps
from PIL import Image, ImageDraw, ImageFont

from mixmae_mm.visualization.image_grid import BLUE, FRAME, GAP, GRAY, HEADER, LINE, Color, enlarge

HEAT = 0.7  # share of the color in a heat map; the rest is the image, without colors
FADED = 0.6  # share of white where a heat map has no value
RING = 5  # pixels from the middle of a mark to its ring
WHITE, BLACK = (255, 255, 255), (0, 0, 0)


class Mark(NamedTuple):
    """A ring on an image, at shares of its width and height."""

    x: float
    y: float
    color: Color


class Tile(NamedTuple):
    """One image of a grid, uint8 (H, W, 3); small ones are enlarged."""

    image: np.ndarray
    below: str = ''
    marks: Sequence[Mark] = ()
    frame: Color | None = None


def heat_map(image: np.ndarray, values: np.ndarray, low: float, high: float, colors: str = 'inferno') -> np.ndarray:
    """Lay values (h, w) over an image, a block a patch; faded where they are NaN: uint8 (H, W, 3) -> same.

    Args:
        image: uint8 (H, W, 3).
        values: One a patch.
        low: What gets the first of the colors; what is below gets it too.
        high: What gets the last.
        colors: A color map of matplotlib.
    """
    gray = image.mean(-1, keepdims=True).repeat(3, -1)
    full = resize(values, image.shape[:2])
    known = ~np.isnan(full)[..., None]
    shares = np.nan_to_num((full - low) / max(high - low, 1e-12)).clip(0, 1)
    hot = HEAT * 255 * colormaps[colors](shares)[..., :3] + (1 - HEAT) * gray
    return np.where(known, hot, FADED * 255 + (1 - FADED) * gray).round().astype(np.uint8)


def resize(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Make each value a block of pixels: (h, w, ...) -> (H, W, ...)."""
    rows, columns = (np.arange(side) * count // side for side, count in zip(size, values.shape[:2], strict=True))
    return values[rows[:, None], columns]


def draw_tiles(rows: Sequence[Sequence[Tile]], titles: Sequence[str], caption: str) -> Image.Image:
    """Draw an image grid: columns as wide as their widest tile, titles above them, a caption below.

    Args:
        rows: Tiles, from the left.
        titles: Of the columns; what does not fit is shortened, as are the texts below tiles.
        caption: Wrapped to the grid's width.
    """
    drawn = [[_drawn(tile) for tile in row] for row in rows]
    count = max(len(row) for row in rows)
    widths = [max(row[i].width for row in drawn if i < len(row)) for i in range(count)]
    lefts = [GAP + sum(widths[:i]) + i * GAP for i in range(count + 1)]
    texts = [LINE if any(tile.below for tile in row) else 0 for row in rows]
    heights = [max(image.height for image in row) + text for row, text in zip(drawn, texts, strict=True)]
    tops = [HEADER + sum(heights[:i]) + i * GAP for i in range(len(rows) + 1)]
    lines = textwrap.wrap(caption, max(lefts[-1] // 6, 20))
    canvas = Image.new('RGB', (lefts[-1], tops[-1] + LINE * len(lines) + GAP), 'white')
    for images, tiles, top in zip(drawn, rows, tops, strict=False):
        for image, tile, left in zip(images, tiles, lefts, strict=False):
            _place(canvas, image, tile, (left, top))
    draw = ImageDraw.Draw(canvas)
    for title, left, width in zip(titles, lefts, widths, strict=False):
        write_centered(draw, title, (left + width / 2, (HEADER - FRAME) / 2), width, 14, BLUE)
    for number, line in enumerate(lines):
        draw.text((GAP, tops[-1] + LINE * number), line, GRAY, ImageFont.load_default(12))
    return canvas


def _drawn(tile: Tile) -> Image.Image:
    """Enlarge a tile's image and put its marks on it."""
    image = enlarge(tile.image)
    for mark in tile.marks:
        put_ring(ImageDraw.Draw(image), (mark.x * image.width, mark.y * image.height), mark.color)
    return image


def put_ring(draw: ImageDraw.ImageDraw, place: tuple[float, float], color: Color) -> None:
    """Draw a ring that is seen on dark and on light."""
    for reach, width, ink in ((RING + 1, 4, BLACK), (RING, 2, color)):
        draw.ellipse([place[0] - reach, place[1] - reach, place[0] + reach, place[1] + reach], outline=ink, width=width)


def join_marks(canvas: Image.Image, first: Tile, second: Tile) -> Image.Image:
    """Draw a line from each mark of the first tile to its like on the second, beside it; return the canvas."""
    sizes = [enlarge(tile.image).size for tile in (first, second)]
    draw = ImageDraw.Draw(canvas)
    for one, other in zip(first.marks, second.marks, strict=True):
        places = [
            (left + mark.x * width, HEADER + mark.y * height)
            for left, mark, (width, height) in zip((GAP, 2 * GAP + sizes[0][0]), (one, other), sizes, strict=True)
        ]
        draw.line(places, BLACK, 4)
        draw.line(places, one.color, 2)
        for place in places:
            put_ring(draw, place, one.color)
    return canvas


def _place(canvas: Image.Image, image: Image.Image, tile: Tile, place: tuple[int, int]) -> None:
    """Put a tile on the canvas, its frame around it and its text below."""
    left, top = place
    if tile.frame is not None:
        canvas.paste(tile.frame, (left - FRAME, top - FRAME, left + image.width + FRAME, top + image.height + FRAME))
    canvas.paste(image, place)
    middle = (left + image.width / 2, top + image.height + FRAME + LINE / 2)
    write_centered(ImageDraw.Draw(canvas), tile.below, middle, image.width, 12, GRAY)


def write_centered(
    draw: ImageDraw.ImageDraw, text: str, middle: tuple[float, float], width: float, size: int, color: Color
) -> None:
    """Write one line around a point, shortened to a width in pixels."""
    font = ImageFont.load_default(size)
    draw.text(middle, shorten(text, lambda part: font.getlength(part) <= width), color, font, anchor='mm')


def shorten(text: str, fits: Callable[[str], bool]) -> str:
    """Cut the middle out of a text until it fits."""
    keep = len(text)
    short = text
    while not fits(short) and keep > 1:
        keep -= 1
        short = f'{text[: (keep + 1) // 2]}...{text[len(text) - keep // 2 :]}'
    return short
