"""Position embeddings: absolute sin-cos embeddings and relative position bias tables, and the resizing of both.

For other sizes, both are resized (bicubic) and never recomputed, because weights depend on the embedding they were
trained with.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from mixmae_mm.structures import Size

MISFIT = 0.02
"""Variance, along a dimension in which sin-cos embeddings are constant, that marks embeddings of another kind."""


def pair(size: int | Size) -> Size:
    """Return a side or (height, width) as (height, width)."""
    sides = tuple(size) if isinstance(size, Sequence) else (size, size)
    if len(sides) != 2 or min(sides) < 1 or any(side != int(side) for side in sides):
        raise ValueError(f'a size must be one integer or two, height and width, each 1 or more; got {size!r}')
    return int(sides[0]), int(sides[1])


def sin_cos_pos_embed(grid: Size, dims: int) -> Tensor:
    """Return the fixed 2-D sin-cos embedding of MAE and MixMIM, row by row: (1, h * w, dims).

    The first half of the channels encodes the column, the second half the row, each as sines followed by cosines of
    dims / 4 frequencies from 1 down to almost 1 / 10000.
    """
    if dims % 4:
        raise ValueError(f'a sin-cos position embedding needs a multiple of 4 channels, got {dims}')
    frequencies = 10000 ** (-torch.arange(dims // 4, dtype=torch.float64) / (dims // 4))
    rows, columns = (torch.arange(side, dtype=torch.float64)[:, None] * frequencies for side in grid)
    waves = [torch.cat([angles.sin(), angles.cos()], dim=1) for angles in (columns, rows)]
    pos_embed = torch.cat([waves[0].expand(grid[0], -1, -1), waves[1][:, None].expand(-1, grid[1], -1)], dim=2)
    return pos_embed.flatten(0, 1)[None].float()


def resize_pos_embed(pos_embed: Tensor, grid: Size, new_grid: Size, extra: int = 0) -> Tensor:
    """Resize all but the first `extra` rows (CLS): (1, extra + h * w, C) -> (1, extra + h' * w', C)."""
    if grid == new_grid:
        return pos_embed
    maps = pos_embed[:, extra:].unflatten(1, grid).permute(0, 3, 1, 2)
    return torch.cat([pos_embed[:, :extra], _bicubic(maps, new_grid).permute(0, 2, 3, 1).flatten(1, 2)], dim=1)


def resize_bias_table(table: Tensor, window: Size, new_window: Size) -> Tensor:
    """Resize a relative position bias table, ((2 h - 1) * (2 w - 1), heads), to another window."""
    if window == new_window:
        return table
    offsets, new_offsets = ((2 * size[0] - 1, 2 * size[1] - 1) for size in (window, new_window))
    maps = table.transpose(0, 1).unflatten(1, offsets)[None]
    return _bicubic(maps, new_offsets)[0].flatten(1).transpose(0, 1)


def _bicubic(maps: Tensor, size: Size) -> Tensor:
    """Resize maps (B, C, h, w), computing in float32 whatever their dtype."""
    return F.interpolate(maps.float(), size=size, mode='bicubic', align_corners=False).to(maps.dtype)


def infer_grid(pos_embed: Tensor) -> Size | None:
    """Infer the grid of a sin-cos embedding (1, N, C), even if resized or lightly trained; None for other embeddings.

    Half of its channels vary with the column only, the other half with the row only; its mean square is 1 / 2.
    """
    entries, halves = pos_embed.shape[1], pos_embed[0].float().chunk(2, dim=1)
    if pos_embed.shape[2] % 4 or not 0.25 < pos_embed.float().square().mean() < 0.75:
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
    """Return the variance of channels (h * w, C) along a dimension of the grid, averaged over all else."""
    return float(half.unflatten(0, grid).var(dim, correction=0).mean())


def guess_grid(num_entries: int, expected: Size, what: str) -> Size:
    """Guess the grid of a stored embedding from its length: the expected grid if it fits, otherwise a square."""
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
    """Return the index of each pair of a window's tokens in the bias table of that window or a larger one: (T, T)."""
    rows, columns = torch.meshgrid(*(torch.arange(side, device=device) for side in window), indexing='ij')
    row_offset = rows.flatten()[:, None] - rows.flatten() + table_window[0] - 1
    column_offset = columns.flatten()[:, None] - columns.flatten() + table_window[1] - 1
    return row_offset * (2 * table_window[1] - 1) + column_offset
