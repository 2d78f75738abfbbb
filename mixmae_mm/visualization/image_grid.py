"""Image grids of reconstructions: originals, their mixture, its assignment, and the reconstructions.

One row a mixture of K images; for MAE one image, what was not masked of it, and its reconstruction.
Letters: G mixtures, K sources, C channels, H x W pixels.
"""

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from mmengine.model import BaseModel
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from mixmae_mm.mixing import NOBODY, resize_assignment, visible
from mixmae_mm.structures import Reconstructions
from mixmae_mm.utils.denormalize import first_three

GAP, HEADER, LINE = 10, 28, 18  # pixels between panels, above them, and for a line of the caption
FRAME = 3  # pixels of a frame, which lies around its panel
PANEL = 128  # the least side of a panel
MARGIN = 90  # for labels of rows
BLUE, GRAY = (31, 78, 121), (90, 90, 90)
HIDDEN = 190  # the gray of cells of no source: to the model they have the mean color, which looks like an image's
TINT = 0.65  # how much of a cell of the map is its source's color; the rest is the mixture, without colors
# of the sources: saturated, and apart in more than lightness, which the map takes from the image; repeated after 8
COLORS = (
    (0, 100, 200),
    (240, 150, 0),
    (0, 160, 90),
    (210, 60, 160),
    (210, 30, 20),
    (235, 230, 0),
    (0, 190, 210),
    (120, 60, 220),
)
Color = tuple[int, int, int]


class Panel(NamedTuple):
    """One image of a row, (C, H, W), uint8."""

    title: str
    image: Tensor
    frame: Color | None = None


def panels_of(result: Reconstructions) -> list[list[Panel]]:
    """List the panels of each row: originals, what the encoder saw, which cell is whose, reconstructions."""
    owners = resize_assignment(result.assignment, tuple(result.mixed.shape[-2:])).expand(len(result.mixed), -1, -1)
    mixed = torch.where(owners[:, None] == NOBODY, HIDDEN, result.mixed)
    maps = tint(result.mixed, owners)
    return [
        [
            *_per_source('original', result.sources[g]),
            *_middle(mixed[g], maps[g], result.sources.shape[1]),
            *_per_source('reconstruction', result.reconstructed[g]),
        ]
        for g in range(len(mixed))
    ]


def _per_source(title: str, images: Tensor) -> list[Panel]:
    """Make a panel for each source (K, C, H, W), numbered and framed in its color if there are several."""
    if len(images) == 1:
        return [Panel(title, images[0])]
    return [Panel(f'{title} {k + 1}', image, color_of(k)) for k, image in enumerate(images)]


def _middle(mixed: Tensor, whose: Tensor, num_sources: int) -> list[Panel]:
    """Make the panels of what the encoder saw; one source needs no map of whose cell is whose."""
    return [Panel('encoder sees', mixed)] if num_sources == 1 else [Panel('mixture', mixed), Panel('whose cell', whose)]


def color_of(source: int) -> Color:
    """Return the color that stands for a source."""
    return COLORS[source % len(COLORS)]


def tint(mixed: Tensor, owners: Tensor) -> Tensor:
    """Color each pixel by its source, gray for none: uint8 (G, C, H, W) and (G, H, W) -> uint8 (G, 3, H, W)."""
    colors = torch.tensor([color_of(k) for k in range(int(owners.max()) + 1)], device=mixed.device)
    tinted = TINT * colors[owners.clamp(min=0)].permute(0, 3, 1, 2) + (1 - TINT) * mixed.float().mean(1, keepdim=True)
    return torch.where(owners[:, None] == NOBODY, HIDDEN, tinted.round()).to(torch.uint8)


def panel_place(row: int, column: int, size: tuple[int, int]) -> tuple[int, int]:
    """Return the upper left corner (x, y) of a panel of `size` = (width, height)."""
    return GAP + column * (size[0] + GAP), HEADER + row * (size[1] + GAP)


def draw_rows(result: Reconstructions, caption: str, labels: Sequence[str] = ()) -> Image.Image:
    """Draw one row a mixture, with titles above and a caption below; labels, if there are any, to the left of rows."""
    rows = panels_of(result)
    size = to_image(rows[0][0].image).size
    width, bottom = panel_place(len(rows), len(rows[0]), size)
    lines = textwrap.wrap(caption, width // 6)
    canvas = Image.new('RGB', (width, bottom + LINE * len(lines) + GAP), 'white')
    for row, panels in enumerate(rows):
        for column, panel in enumerate(panels):
            put_panel(canvas, panel, panel_place(row, column, size))
    _write(canvas, [panel.title for panel in rows[0]], size[0], lines, bottom)
    return _label(canvas, labels, size) if labels else canvas


def _label(canvas: Image.Image, labels: Sequence[str], size: tuple[int, int]) -> Image.Image:
    """Widen an image grid to the left, for a label beside each row of panels of `size`."""
    wider = Image.new('RGB', (canvas.width + MARGIN, canvas.height), 'white')
    wider.paste(canvas, (MARGIN, 0))
    for row, label in enumerate(labels):
        middle = (GAP + MARGIN / 2, panel_place(row, 0, size)[1] + size[1] / 2)
        ImageDraw.Draw(wider).text(middle, label, BLUE, ImageFont.load_default(14), anchor='mm', align='center')
    return wider


def can_be_written(path: Path) -> bool:
    """Return whether a name ends as those of images that Pillow writes."""
    return Image.registered_extensions().get(path.suffix.lower()) in Image.SAVE


def enlarge(pixels: np.ndarray) -> Image.Image:
    """Enlarge an image (H, W, C) by a whole number, each pixel a block, so that it stays crisp."""
    factor = max(1, math.ceil(PANEL / min(pixels.shape[:2])))
    return Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels).resize(
        (pixels.shape[1] * factor, pixels.shape[0] * factor), Image.Resampling.NEAREST
    )


def to_image(image: Tensor) -> Image.Image:
    """Enlarge an image (C, H, W), or the first three of its channels."""
    return enlarge(first_three(image).permute(1, 2, 0).cpu().numpy())


def put_panel(canvas: Image.Image, panel: Panel, place: tuple[int, int]) -> None:
    """Put a panel in its place, and its frame around it."""
    image = to_image(panel.image)
    if panel.frame is not None:
        corners = (place[0] - FRAME, place[1] - FRAME, place[0] + image.width + FRAME, place[1] + image.height + FRAME)
        canvas.paste(panel.frame, corners)
    canvas.paste(image, place)


def _write(canvas: Image.Image, titles: list[str], width: int, lines: list[str], bottom: int) -> None:
    """Put the titles above the panels and the caption below them."""
    draw = ImageDraw.Draw(canvas)
    for column, title in enumerate(titles):
        x = panel_place(0, column, (width, 0))[0] + width / 2
        draw.text((x, (HEADER - FRAME) / 2), title, BLUE, ImageFont.load_default(14), anchor='mm')
    for number, line in enumerate(lines):
        draw.text((GAP, bottom + LINE * number), line, GRAY, ImageFont.load_default(12))


def describe(model: BaseModel, result: Reconstructions, labeled: bool = False) -> str:
    """Describe what is predicted; masking ratios are written beside the rows if they are `labeled`."""
    size = model.head.cell_size
    mixture = f'Cells of {size} px; masked of each image as on the left.' if labeled else _mixture(size, result)
    return f'{mixture} Reconstructions copy what the encoder sees and predict the rest. {flattery(model)}'.rstrip()


def flattery(model: BaseModel) -> str:
    """Describe what makes reconstructions look better than the predictions are; empty without `norm_pix`."""
    if not model.head.norm_pix:
        return ''
    return (
        'This flatters: predicted pixels are normalized, and each masked cell is drawn with the mean and standard '
        'deviation of its original.'
    )


def masked_labels(result: Reconstructions) -> list[str]:
    """Return the labels beside the rows: the masking ratio of each original."""
    num_sources = result.sources.shape[1]
    shares = visible(result.assignment, num_sources).float().mean((2, 3)).expand(len(result.mixed), -1)
    return ['\n'.join(['masked', *(f'{1 - share:.0%}' for share in row)]) for row in shares.tolist()]


def _mixture(cell_size: int, result: Reconstructions) -> str:
    """Describe how much of each original is masked."""
    num_sources = result.sources.shape[1]
    nobodys = (result.assignment == NOBODY).float().mean().item()
    if num_sources == 1:
        return f'Cells of {cell_size} px, {nobodys:.0%} of them masked (gray).'
    shares = visible(result.assignment, num_sources).float().mean((0, 2, 3))
    masked = [f'{1 - share:.0%}' for share in shares.tolist()]
    each = f'{masked[0]} of each' if len(set(masked)) == 1 else f'{", ".join(masked)} of originals 1 to {num_sources}'
    rest = f' {nobodys:.0%} of the cells belong to no source (gray).' if nobodys else ''
    text = f'{num_sources} images a mixture, cells of {cell_size} px, {each} masked.{rest}'
    return f"{text} A frame's color says whose a cell is."
