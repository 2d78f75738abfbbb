"""Image grids: titled panels in rows above a caption.

Letters: G mixtures, K sources, C channels, H x W pixels, h x w patches.
"""

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from mixmae_mm.mixing import NOBODY, resize_assignment
from mixmae_mm.structures import Size
from mixmae_mm.utils.denormalize import first_three

GAP, HEADER, LINE = 10, 28, 18  # pixels between panels, above them, and for a line of text
FRAME, MARGIN = 3, 90  # pixels of the frame around a panel, and for the labels of rows
PANEL = 128  # smallest side of a panel
BLUE, GRAY = (31, 78, 121), (90, 90, 90)
MASKED = 190  # gray of cells of no source; the mean color, which the model sees, could be taken for an image
TINT = 0.65  # share of the source's color in a pixel of an assignment
# of the sources: saturated, and different in more than lightness, which comes from the image; repeated after 8
COLORS = ((0, 100, 200), (240, 150, 0), (0, 160, 90), (210, 60, 160),
          (210, 30, 20), (235, 230, 0), (0, 190, 210), (120, 60, 220))  # fmt: skip
Color = tuple[int, int, int]


class Mark(NamedTuple):
    """A frame around a patch."""

    row: int
    column: int
    grid: Size
    """Patches (h, w) of the image."""
    color: Color


class Panel(NamedTuple):
    """One image of a grid, uint8 (H, W, 1 or 3), with the texts above and below it."""

    image: np.ndarray
    title: str = ''
    below: str = ''
    frame: Color | None = None
    marks: Sequence[Mark] = ()


def draw_grid(rows: Sequence[Sequence[Panel]], caption: str, labels: Sequence[str] = ()) -> Image.Image:
    """Draw panels of one size in rows: the titles of the first row above, the caption below, labels to the left."""
    size = enlarge(rows[0][0].image).size
    texts, left = any(panel.below for row in rows for panel in row), MARGIN if labels else 0
    width, bottom = panel_place(len(rows), max(map(len, rows)), size, texts, left)
    lines = textwrap.wrap(caption, max(width // 6, 20))
    canvas = Image.new('RGB', (width, bottom + LINE * len(lines) + GAP), 'white')
    for i, row in enumerate(rows):
        for j, panel in enumerate(row):
            _put(canvas, panel._replace(title='' if i else panel.title), panel_place(i, j, size, texts, left))
    draw = ImageDraw.Draw(canvas)
    for i, label in enumerate(labels):
        middle = (GAP + MARGIN / 2, panel_place(i, 0, size, texts)[1] + size[1] / 2)
        draw.text(middle, label, BLUE, ImageFont.load_default(14), anchor='mm', align='center')
    for i, line in enumerate(lines):
        draw.text((GAP, bottom + LINE * i), line, GRAY, ImageFont.load_default(12))
    return canvas


def panel_place(row: int, column: int, size: tuple[int, int], texts: bool = False, left: int = 0) -> tuple[int, int]:
    """Return the upper left corner (x, y) of a panel of `size` = (width, height); `texts` leaves a line below each."""
    text = LINE + FRAME if texts else 0
    return left + GAP + column * (size[0] + GAP), HEADER + row * (size[1] + text + GAP)


def enlarge(pixels: np.ndarray) -> Image.Image:
    """Enlarge an image (H, W, 1 or 3) by an integer factor, repeating pixels so that it stays crisp."""
    factor = max(1, math.ceil(PANEL / min(pixels.shape[:2])))
    return Image.fromarray(pixels.repeat(factor, 0).repeat(factor, 1).repeat(3 // pixels.shape[2], 2))


def _put(canvas: Image.Image, panel: Panel, place: tuple[int, int]) -> None:
    """Draw a panel at a place, with its frame, marks and texts."""
    image, (x, y), draw = enlarge(panel.image), place, ImageDraw.Draw(canvas)
    if panel.frame is not None:
        canvas.paste(panel.frame, (x - FRAME, y - FRAME, x + image.width + FRAME, y + image.height + FRAME))
    for mark in panel.marks:
        _draw_mark(ImageDraw.Draw(image), mark, image.size)
    canvas.paste(image, place)
    _write(draw, panel.title, (x + image.width / 2, (HEADER - FRAME) / 2), image.width, 14, BLUE)
    _write(draw, panel.below, (x + image.width / 2, y + image.height + FRAME + LINE / 2), image.width, 12, GRAY)


def _draw_mark(draw: ImageDraw.ImageDraw, mark: Mark, size: tuple[int, int]) -> None:
    """Frame a patch in the color of its mark, between two white lines, large enough to be seen."""
    sides = size[0] / mark.grid[1], size[1] / mark.grid[0]
    x, y = (mark.column + 0.5) * sides[0], (mark.row + 0.5) * sides[1]
    width, height = (max(side / 2, 6) for side in sides)
    for inset, color in enumerate(('white', mark.color, mark.color, 'white')):
        corners = (x - width + inset, y - height + inset, x + width - 1 - inset, y + height - 1 - inset)
        draw.rectangle(corners, outline=color)


def _write(
    draw: ImageDraw.ImageDraw, text: str, middle: tuple[float, float], width: int, size: int, color: Color
) -> None:
    """Write a line of text centered on a point, truncated to a width in pixels."""
    font = ImageFont.load_default(size)
    while len(text) > 3 and font.getlength(text) > width:
        text = text.removesuffix('...')[:-1] + '...'
    draw.text(middle, text, color, font, anchor='mm')


def can_be_written(path: Path) -> bool:
    """Return whether a path has the extension of an image format that Pillow writes."""
    return Image.registered_extensions().get(path.suffix.lower()) in Image.SAVE


def color_of(source: int) -> Color:
    """Return the color that stands for a source."""
    return COLORS[source % len(COLORS)]


def to_array(images: Tensor) -> np.ndarray:
    """Convert images (..., C, H, W), or their first three channels, to the layout of panels: (..., H, W, 1 or 3)."""
    return first_three(images).movedim(-3, -1).cpu().numpy()


def tint(mixed: Tensor, owners: Tensor) -> Tensor:
    """Color each pixel by its source, gray for none: uint8 (G, C, H, W) and (G, H, W) -> uint8 (G, 3, H, W)."""
    colors = torch.tensor([color_of(k) for k in range(int(owners.max()) + 1)], device=mixed.device)
    tinted = TINT * colors[owners.clamp(min=0)].permute(0, 3, 1, 2) + (1 - TINT) * mixed.float().mean(1, keepdim=True)
    return torch.where(owners[:, None] == NOBODY, MASKED, tinted.round()).to(torch.uint8)


def mixture_panels(mixed: Tensor, assignment: Tensor) -> list[list[Panel]]:
    """Make two panels of each mixture (G, C, H, W): what the encoder saw, and the source of each cell (h, w)."""
    owners = resize_assignment(assignment, tuple(mixed.shape[-2:])).expand(len(mixed), -1, -1)
    seen = to_array(torch.where(owners[:, None] == NOBODY, MASKED, mixed))
    pairs = zip(seen, to_array(tint(mixed, owners)), strict=True)
    return [[Panel(one, 'mixture'), Panel(whose, 'whose cell')] for one, whose in pairs]
