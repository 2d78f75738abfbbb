"""Mixing of images by functions of an assignment.

A *group* consists of K images, its *sources*. An *assignment* is an integer map over a grid of *cells*: for each cell
of the mixture, it holds the index (0..K-1) of the source that fills the cell. Source 0 *leads* the mixture. No source
fills cells marked `NOBODY`, so masking as in MAE is mixing with a single source.

Letters: G groups (or mixtures), K sources, N = h * w cells or tokens, C channels, H x W pixels, P values in a cell. The
first dimension of an assignment can be 1 instead of G if all mixtures share the assignment.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

NOBODY = -1
"""The value of an assignment in cells that no source fills."""


class MixedImages(NamedTuple):
    """Mixtures, with the sources and the assignment that they were made from."""

    mixed: Tensor
    """The mixtures, (G, C, H, W)."""
    sources: Tensor
    """The images of each mixture, (G, K, C, H, W), the leading one first."""
    assignment: Tensor
    """The source of each cell, int64 (G or 1, h, w)."""
    ids_keep: Tensor | None = None
    """Indices of the visible cells in ascending order, int64 (G or 1, n); None if no cell is `NOBODY`."""
    weights: Tensor | None = None
    """Loss weights of the sources' pixels, 0 or more, (G, K, 1, H, W); None weights all pixels equally."""


def split_cells(
    num_cells: int, num_sources: int, mask_ratio: float | None = None, shares: Sequence[float] | None = None
) -> list[int]:
    """Return how many cells of a mixture each source fills, the leading one first.

    By default, all sources fill the same number of cells; a remainder goes to the first sources, one cell each. With
    `mask_ratio`, floor(num_cells * mask_ratio) cells of the leading source are masked and split equally among the other
    sources, as in the official MixMIM, where a ratio of 0.5 masks 24 of 49 cells; with a single source, nothing fills
    them, as in MAE. `shares` instead states the share of the cells that each source fills, rounded so that their sum is
    preserved; no source fills the cells that remain. Raise ValueError if a source would get no cell, or `shares` are
    not one per source or add up to more than 1.
    """
    if shares is not None:
        counts = _split_by_shares(num_cells, shares)
    elif mask_ratio is None:
        counts = _split_evenly(num_cells, num_sources)
    else:
        masked = math.floor(num_cells * mask_ratio)
        counts = [num_cells - masked, *_split_evenly(masked, num_sources - 1)]
    if len(counts) != num_sources or min(counts, default=0) < 1 or sum(counts) > num_cells:
        wish = f'a mask_ratio of {mask_ratio}' if shares is None else f'shares {tuple(shares)}'
        raise ValueError(
            f'{num_cells} cells with {wish} cannot be split among {num_sources} sources, '
            f'each needs at least one (cells {counts}): use smaller cells, fewer sources or another mask_ratio'
        )
    return counts


def _split_evenly(num_cells: int, num_sources: int) -> list[int]:
    """Split cells equally; a remainder goes to the first sources, one cell each."""
    return [num_cells // num_sources + (i < num_cells % num_sources) for i in range(num_sources)]


def _split_by_shares(num_cells: int, shares: Sequence[float]) -> list[int]:
    """Round shares of the cells to whole numbers by the largest remainder method."""
    exact = [num_cells * share for share in shares]
    counts = [math.floor(cells) for cells in exact]
    by_remainder = sorted(range(len(exact)), key=lambda source: counts[source] - exact[source])
    for source in by_remainder[: round(sum(exact)) - sum(counts)]:
        counts[source] += 1
    return counts


def random_assignment(
    num_groups: int,
    cells: int | tuple[int, int],
    num_sources: int,
    mask_ratio: float | None = None,
    shares: Sequence[float] | None = None,
    *,
    device: torch.device | str | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Draw assignments with the counts of `split_cells` uniformly at random: int64 (G, *cells).

    `cells` is the number of cells N or their grid (h, w).
    """
    grid = (cells,) if isinstance(cells, int) else tuple(cells)
    num_cells = math.prod(grid)
    counts = split_cells(num_cells, num_sources, mask_ratio, shares)
    # filled on the device, because copying a list to a GPU would synchronize
    pieces = [*enumerate(counts), (NOBODY, num_cells - sum(counts))]
    labels = torch.cat([torch.full((count,), source, device=device) for source, count in pieces])
    order = torch.rand(num_groups, num_cells, device=device, generator=generator).argsort(dim=1)
    return labels[order].view(num_groups, *grid)


def group_images(images: Tensor, num_sources: int) -> Tensor:
    """Split a batch into groups of consecutive images: (G * K, ...) -> (G, K, ...)."""
    batch = images.shape[0]
    if batch == 0 or batch % num_sources:
        raise ValueError(
            f'batch of {batch} images cannot be split into groups of {num_sources}: '
            f'make batch_size a multiple of {num_sources} and set drop_last=True in the dataloader'
        )
    return images.unflatten(0, (-1, num_sources))


def take_turns(groups: Tensor) -> Tensor:
    """Let each source of a group lead one mixture: (G, K, ...) -> (G * K, K, ...).

    Turn t rolls the sources so that source t comes first. If all turns share an assignment without `NOBODY`, every cell
    of every source is visible in exactly one of the group's K mixtures; for K = 2 these are the official MixMIM's pair.
    """
    num_sources = groups.shape[1]
    turns = torch.arange(num_sources, device=groups.device)
    return groups[:, (turns[:, None] + turns) % num_sources].flatten(0, 1)


def mix(sources: Tensor, assignment: Tensor) -> Tensor:
    """Mix tokens: (G, K, N, C) and an assignment (G, N) -> (G, N, C)."""
    return _choose(sources, assignment[..., None])


def mix_images(sources: Tensor, assignment: Tensor) -> Tensor:
    """Mix images cell by cell: (G, K, C, H, W) and an assignment (G, h, w) -> (G, C, H, W)."""
    pixels = resize_assignment(assignment, tuple(sources.shape[-2:]))
    return _choose(sources, pixels[:, None])


def _choose(sources: Tensor, assignment: Tensor) -> Tensor:
    """Select from (G, K, ...) by an assignment broadcastable to (G, ...); 0 where it is `NOBODY`."""
    chosen = torch.zeros_like(sources[:, 0])
    for k in range(sources.shape[1]):
        chosen = torch.where(assignment == k, sources[:, k], chosen)
    return chosen


def resize_assignment(assignment: Tensor, size: tuple[int, int]) -> Tensor:
    """Repeat each cell as a block of a finer grid: (G, h, w) -> (G, H, W)."""
    height, width = assignment.shape[-2:]
    if size[0] % height or size[1] % width:
        raise ValueError(
            f'an assignment of {height} x {width} cells does not fit a grid of {size[0]} x {size[1]}: '
            'each side must be a whole multiple of the cells'
        )
    rows = assignment.repeat_interleave(size[0] // height, dim=-2)
    return rows.repeat_interleave(size[1] // width, dim=-1)


def visible(assignment: Tensor, num_sources: int) -> Tensor:
    """Return which cells of each source are visible: (G, ...) -> bool (G, K, ...)."""
    sources = torch.arange(num_sources, device=assignment.device)
    return assignment[:, None] == sources.view(-1, *[1] * (assignment.ndim - 1))


def unmix(tokens: Tensor, assignment: Tensor, fill: Tensor, num_sources: int) -> Tensor:
    """Return the tokens of each source, with `fill` (C,) where it is masked: (G, N, C) -> (G, K, N, C)."""
    return torch.where(visible(assignment, num_sources)[..., None], tokens[:, None], fill.to(tokens.dtype))


def homologous(assignment: Tensor) -> Tensor:
    """Return which tokens come from the same source: (G, N) -> bool (G, N, N)."""
    return assignment[:, :, None] == assignment[:, None, :]


def patchify(images: Tensor, cell_size: int) -> Tensor:
    """Split images into cells, row by row, each flattened as (row, column, channel): (..., C, H, W) -> (..., N, P)."""
    split = images.unflatten(-1, (-1, cell_size)).unflatten(-3, (-1, cell_size))
    lead = tuple(range(images.ndim - 3))
    channel, row, y, column, x = (len(lead) + i for i in range(5))
    return split.permute(*lead, row, column, y, x, channel).flatten(-3).flatten(-3, -2)


def unpatchify(cells: Tensor, cell_size: int, grid: Sequence[int]) -> Tensor:
    """Reverse `patchify`: (..., N, P) -> (..., C, H, W) for a grid (h, w)."""
    split = cells.unflatten(-2, tuple(grid)).unflatten(-1, (cell_size, cell_size, -1))
    lead = tuple(range(cells.ndim - 2))
    row, column, y, x, channel = (len(lead) + i for i in range(5))
    return split.permute(*lead, channel, row, y, column, x).flatten(-2).flatten(-3, -2)


def visible_ids(assignment: Tensor, num_visible: int) -> Tensor:
    """Return the indices of the visible cells: (G, N) -> int64 (G, num_visible).

    The caller passes their number, because counting them would synchronize with a GPU.
    """
    return (assignment == NOBODY).to(torch.uint8).argsort(dim=1, stable=True)[:, :num_visible]


def gather_tokens(tokens: Tensor, ids: Tensor) -> Tensor:
    """Gather tokens by index: (G, N, C) and int64 (G or 1, n) -> (G, n, C)."""
    index = ids.expand(len(tokens), -1)[..., None].expand(-1, -1, tokens.shape[-1])
    return tokens.gather(1, index)


def scatter_tokens(tokens: Tensor, ids: Tensor, num_cells: int) -> Tensor:
    """Reverse `gather_tokens`, with zeros elsewhere: (G, n, C) and int64 (G or 1, n) -> (G, num_cells, C)."""
    index = ids.expand(len(tokens), -1)[..., None].expand_as(tokens)
    return tokens.new_zeros(len(tokens), num_cells, tokens.shape[-1]).scatter(1, index, tokens)
