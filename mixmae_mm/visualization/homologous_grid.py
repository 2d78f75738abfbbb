"""Image grids of homologous attention: a mixture, its assignment, and what single patches attend to.

One row a mixture of K images; one query patch of each source, its panel framed in the source's color. Keys that the
query keeps shine in the colors of whoever they truly are of, so a panel of one color is a patch that recognizes its
own image.

Letters: G mixtures, K sources, C channels, H x W pixels, h x w = N patches.
"""

import textwrap

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from mixmae_mm.mixing import NOBODY, homologous, resize_assignment
from mixmae_mm.structures import Recognition
from mixmae_mm.visualization.image_grid import (
    BLUE,
    FRAME,
    GAP,
    GRAY,
    HEADER,
    HIDDEN,
    LINE,
    Panel,
    color_of,
    panel_place,
    put_panel,
    tint,
    to_image,
)

PALE = 0.8  # how far a key that no head keeps is faded to white
SPACE = LINE + FRAME  # for the line below each panel


def choose_queries(assignment: Tensor, num_sources: int, seed: int) -> Tensor:
    """Draw one patch of each source of each mixture (G, h, w): numbers (G, K), -1 where a source has none."""
    generator = torch.Generator().manual_seed(seed)
    owners = assignment.flatten(1).cpu()
    lots = torch.rand(owners.shape, generator=generator)
    drawn = [torch.where(owners == source, lots, -1.0).max(dim=1) for source in range(num_sources)]
    return torch.stack([torch.where(best < 0, -1, number) for best, number in drawn], dim=1)


def light_up(recognition: Recognition, queries: Tensor) -> Tensor:
    """Draw which keys queries (G,) keep: each pixel between faded gray and its owner's color, uint8 (G, 3, H, W)."""
    size = tuple(recognition.mixed.shape[-2:])
    owners = resize_assignment(recognition.assignment, size)
    rows = torch.arange(len(queries), device=recognition.kept.device)
    shares = recognition.kept[rows, queries.to(rows.device)].view_as(recognition.assignment)
    shares = resize_assignment(shares, size)[:, None]
    faded = (1 - PALE) * recognition.mixed.float().mean(1, keepdim=True) + PALE * 255
    lit = shares * tint(recognition.mixed, owners) + (1 - shares) * faded
    return torch.where(owners[:, None] == NOBODY, HIDDEN, lit.round()).to(torch.uint8)


def draw_homologous(recognition: Recognition, num_sources: int, seed: int, preface: str = '') -> Image.Image:
    """Draw one row a mixture, below each query's panel the share of right keys, and a caption that begins so."""
    queries = choose_queries(recognition.assignment, num_sources, seed)
    columns = _columns(recognition, queries)
    size = to_image(columns[0][0].image).size
    width, _ = panel_place(0, len(columns), size)
    bottom = _place(len(queries), 0, size)[1]
    lines = textwrap.wrap(preface + describe_recognition(recognition), width // 6)
    canvas = Image.new('RGB', (width, bottom + LINE * len(lines) + GAP), 'white')
    precision = recognition.precision()
    for row in range(len(queries)):
        for column, panels in enumerate(columns):
            put_panel(canvas, panels[row], _place(row, column, size))
        for source, query in enumerate(queries[row].tolist()):
            if query >= 0:
                _mark(canvas, _place(row, 2 + source, size), size, query, recognition.assignment.shape[-2:])
                _note(canvas, _place(row, 2 + source, size), size, f'{precision[row, query]:.0%} of its own image')
    _write(canvas, [panels[0].title for panels in columns], size, lines, bottom)
    return canvas


def _columns(recognition: Recognition, queries: Tensor) -> list[list[Panel]]:
    """List the panels column by column."""
    owners = resize_assignment(recognition.assignment, tuple(recognition.mixed.shape[-2:]))
    mixed = torch.where(owners[:, None] == NOBODY, HIDDEN, recognition.mixed)
    whose = tint(recognition.mixed, owners)
    columns = [[Panel('mixture', image) for image in mixed], [Panel('whose cell', image) for image in whose]]
    for source in range(queries.shape[1]):
        images = light_up(recognition, queries[:, source].clamp(min=0))
        columns.append([Panel(f'a patch of {source + 1}', image, color_of(source)) for image in images])
    return columns


def _place(row: int, column: int, size: tuple[int, int]) -> tuple[int, int]:
    """Return the upper left corner of a panel, where each has a line below it."""
    x, y = panel_place(row, column, size)
    return x, y + SPACE * row


def _mark(
    canvas: Image.Image, place: tuple[int, int], size: tuple[int, int], query: int, grid: tuple[int, int]
) -> None:
    """Frame the query's patch, black in white, so that it is visible on any background."""
    row, column = divmod(query, grid[1])
    height, width = size[1] / grid[0], size[0] / grid[1]
    x, y = place[0] + column * width, place[1] + row * height
    draw = ImageDraw.Draw(canvas)
    for inset, color in ((0, 'white'), (1, 'black'), (2, 'black'), (3, 'white')):
        draw.rectangle((x + inset, y + inset, x + width - 1 - inset, y + height - 1 - inset), outline=color)


def _note(canvas: Image.Image, place: tuple[int, int], size: tuple[int, int], text: str) -> None:
    """Write a line below a panel."""
    where = place[0] + size[0] / 2, place[1] + size[1] + FRAME + LINE / 2
    ImageDraw.Draw(canvas).text(where, text, GRAY, ImageFont.load_default(11), anchor='mm')


def _write(canvas: Image.Image, titles: list[str], size: tuple[int, int], lines: list[str], bottom: int) -> None:
    """Put the titles above the panels and the caption below them."""
    draw = ImageDraw.Draw(canvas)
    for column, title in enumerate(titles):
        x = _place(0, column, size)[0] + size[0] / 2
        draw.text((x, (HEADER - FRAME) / 2), title, BLUE, ImageFont.load_default(14), anchor='mm')
    for number, line in enumerate(lines):
        draw.text((GAP, bottom + LINE * number), line, GRAY, ImageFont.load_default(12))


def describe_recognition(recognition: Recognition) -> str:
    """Describe the grid, with the precision of the guess, of all patches and by chance."""
    owners = recognition.assignment.flatten(1)
    owned = owners != NOBODY
    pairs = owned[:, :, None] & owned[:, None, :]
    chance = (homologous(owners) & pairs).sum() / pairs.sum()
    precision = recognition.precision()[owned].mean()
    return (
        f'Block {recognition.block}, mean of {recognition.num_heads} heads: the keys that a query (framed) keeps, in '
        f'the colors of the images that they truly are of. Of the keys kept by all patches {precision:.0%} are of '
        f'their own image, by chance {chance:.0%}.'
    )
