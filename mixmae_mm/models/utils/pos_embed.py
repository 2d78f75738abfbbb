"""Position embeddings: absolute sin-cos tables, relative bias tables, and how both are resized to other sizes.

Tables are always resized (bicubic), never made anew, since trained weights go with the table they were trained with.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from mixmae_mm.structures import Size

MISFIT = 0.02
"""Variance, where a sin-cos table should have none, from which on a table is taken for another kind."""


def pair(size: int | Size) -> Size:
    """Read a side or (height, width) as (height, width)."""
    sides = tuple(size) if isinstance(size, Sequence) else (size, size)
    if len(sides) != 2 or min(sides) < 1 or any(side != int(side) for side in sides):
        raise ValueError(f'a size is a whole number, or two of them, height and width, each 1 or more; got {size!r}')
    return int(sides[0]), int(sides[1])


def sin_cos_table(grid: Size, dims: int) -> Tensor:
    """Make the fixed 2-D table of MAE and MixMIM: (1, h * w, dims), row by row.

    The first half of the channels encodes the column, the second the row; each as sines, then cosines, of
    dims / 4 frequencies from 1 down to 1 / 10000.
    """
    if dims % 4:
        raise ValueError(f'a sin-cos table needs a multiple of 4 channels, got {dims}')
    frequencies = 10000 ** (-torch.arange(dims // 4, dtype=torch.float64) / (dims // 4))
    rows, columns = (torch.arange(side, dtype=torch.float64)[:, None] * frequencies for side in grid)
    waves = [torch.cat([angles.sin(), angles.cos()], dim=1) for angles in (columns, rows)]
    table = torch.cat([waves[0].expand(grid[0], -1, -1), waves[1][:, None].expand(-1, grid[1], -1)], dim=2)
    return table.flatten(0, 1)[None].float()


def token_table(grid: Size, dims: int, extra: int) -> Tensor:
    """Make a sin-cos table with zeros before it for `extra` tokens without a place: (1, extra + h * w, dims)."""
    return torch.cat([torch.zeros(1, extra, dims), sin_cos_table(grid, dims)], dim=1)


def resize_table(table: Tensor, grid: Size, new_grid: Size, extra: int = 0) -> Tensor:
    """Resize a table of absolute positions but for its first rows: (1, extra + h * w, C) -> (1, extra + new, C)."""
    if grid == new_grid:
        return table
    maps = table[:, extra:].unflatten(1, grid).permute(0, 3, 1, 2)
    return torch.cat([table[:, :extra], _bicubic(maps, new_grid).permute(0, 2, 3, 1).flatten(1, 2)], dim=1)


def resize_relative_table(table: Tensor, window: Size, new_window: Size) -> Tensor:
    """Resize a table of relative biases, bicubic: ((2 h - 1) * (2 w - 1), heads) to that of another window."""
    if window == new_window:
        return table
    offsets, new_offsets = ((2 * size[0] - 1, 2 * size[1] - 1) for size in (window, new_window))
    maps = table.transpose(0, 1).unflatten(1, offsets)[None]
    return _bicubic(maps, new_offsets)[0].flatten(1).transpose(0, 1)


def _bicubic(maps: Tensor, size: Size) -> Tensor:
    """Resize (B, C, h, w), in float32 whatever the weights are stored in."""
    return F.interpolate(maps.float(), size=size, mode='bicubic', align_corners=False).to(maps.dtype)


def told_grid(table: Tensor) -> Size | None:
    """Return the sides that a sin-cos table (1, N, C) says itself, resized or lightly trained too; None for others.

    The first half of its channels varies with the column only and the second with the row only, or, as mmpretrain has
    it, the other way round; the mean of the squares is 1 / 2.
    """
    entries, halves = table.shape[1], table[0].float().chunk(2, dim=1)
    if table.shape[2] % 4 or not 0.25 < table.float().square().mean() < 0.75:
        return None
    sides = [(height, entries // height) for height in range(1, entries + 1) if entries % height == 0]
    misfits = [
        {grid: max(_varies(columns, grid, 0), _varies(rows, grid, 1)) for grid in sides}
        for columns, rows in (halves, halves[::-1])
    ]
    limit = min(MISFIT, 1.1 * min(min(order.values()) for order in misfits) + 1e-4)
    fitting = next(filter(None, ([grid for grid in sides if order[grid] < limit] for order in misfits)), ())
    return fitting[0] if len(fitting) == 1 else None


def _varies(half: Tensor, grid: Size, dim: int) -> float:
    """Return how much channels (h * w, C) vary along a dimension of the grid, along which they should not."""
    return float(half.unflatten(0, grid).var(dim, correction=0).mean())


def guess_grid(num_entries: int, expected: Size, what: str) -> Size:
    """Return the sides of a stored table by its length: the expected ones where they fit, otherwise a square."""
    if num_entries == expected[0] * expected[1]:
        return expected
    side = math.isqrt(num_entries)
    if side * side != num_entries:
        raise ValueError(
            f'{what} holds {num_entries} entries: neither the {expected[0]} x {expected[1]} of this model nor a '
            'square, so it cannot be resized; build the model with the size that the file was trained with'
        )
    return side, side


def relative_index(window: Size, table_window: Size, device: torch.device | str | None = None) -> Tensor:
    """Return where a window's pairs of tokens stand in a bias table for `table_window`, which may be larger: (T, T)."""
    rows, columns = torch.meshgrid(*(torch.arange(side, device=device) for side in window), indexing='ij')
    row_offset = rows.flatten()[:, None] - rows.flatten() + table_window[0] - 1
    column_offset = columns.flatten()[:, None] - columns.flatten() + table_window[1] - 1
    return row_offset * (2 * table_window[1] - 1) + column_offset
