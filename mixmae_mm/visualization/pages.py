"""Pages of images that are one file: thumbnails lie inside, names are escaped, nothing is fetched.

Letters: H x W pixels.
"""

import base64
import io
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

import numpy as np
from PIL import Image

STYLE = """
body { font: 15px/1.4 system-ui, sans-serif; margin: 2em auto; max-width: 1500px; padding: 0 1em; color: #222 }
h1 { font-size: 1.3em; color: #1f4e79 }
.row { display: flex; flex-wrap: wrap; gap: 10px; padding: 12px 0; border-top: 1px solid #ddd }
figure { margin: 0; width: 130px }
figure img { width: 130px; display: block; image-rendering: auto; border-radius: 3px }
figure:first-child img { outline: 3px solid #1f4e79 }
figcaption { font-size: 12px; overflow-wrap: anywhere; color: #555 }
figcaption b { color: #222; font-size: 14px }
""".strip()


class Figure(NamedTuple):
    """One image of a page, uint8 (H, W, 3)."""

    image: np.ndarray
    heading: str
    """In bold below it."""
    name: str
    """Below that; in full when the pointer rests on the image."""


def thumbnail(pixels: np.ndarray, side: int = 130) -> str:
    """Write an image, uint8 (H, W, 3), as a data URI: a JPEG with sides of up to twice `side` pixels."""
    image = Image.fromarray(pixels)
    image.thumbnail((2 * side, 2 * side))
    file = io.BytesIO()
    image.save(file, 'JPEG', quality=85)
    return 'data:image/jpeg;base64,' + base64.b64encode(file.getvalue()).decode()


def page_of(title: str, caption: str, rows: Sequence[Sequence[Figure]]) -> str:
    """Write an HTML page with rows of images, the first of each set apart."""
    body = '\n'.join(f'<div class="row">\n{"".join(_figure(figure) for figure in row)}</div>' for row in rows)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<title>{escape(title)}</title>\n<style>\n{STYLE}\n</style>\n'
        f'<h1>{escape(title)}</h1>\n<p>{escape(caption)}</p>\n{body}\n</html>\n'
    )


def _figure(figure: Figure) -> str:
    """Write one image with its heading and caption."""
    name = escape(figure.name)
    return (
        f'<figure><img src="{thumbnail(figure.image)}" title="{name}" alt="{name}" loading="lazy">'
        f'<figcaption><b>{escape(figure.heading)}</b><br>{name}</figcaption></figure>\n'
    )
