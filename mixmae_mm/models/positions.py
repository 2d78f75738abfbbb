"""Tables of positions: absolute sin-cos tables, relative bias tables, and how both are stretched to other sizes.

Tables are always stretched (bicubic), never made anew, since trained weights go with the table they were trained with:
for 56 -> 96 the two differ by up to 2.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from mixmae_mm.models.settings import is_whole

Size = tuple[int, int]


def pair(size: int | Size) -> Size:
    """Read a side or (height, width) as (height, width).

    Raises:
        ValueError: it is neither.
    """
    sides = (size, size) if is_whole(size) else tuple(size) if isinstance(size, list | tuple) else ()
    if len(sides) != 2 or not all(map(is_whole, sides)):
        raise ValueError(f'a size is a whole number, or two of them, height and width, each 1 or more; got {size!r}')
    return int(sides[0]), int(sides[1])


def sin_cos_table(grid: Size, dims: int) -> Tensor:
    """Make the fixed 2-D table of MAE and MixMIM: (1, h * w, dims), row by row.

    The first half of the channels tells the column, the second the row; each as sines, then cosines, of
    dims / 4 frequencies from 1 down to 1 / 10000.

    Raises:
        ValueError: `dims` is no multiple of 4.
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
    """Stretch a table of absolute positions, bicubic: (1, extra + h * w, C) -> (1, extra + new_h * new_w, C).

    The first `extra` rows are of tokens without a place, such as CLS, and stay.
    """
    if grid == new_grid:
        return table
    maps = table[:, extra:].unflatten(1, grid).permute(0, 3, 1, 2)
    return torch.cat([table[:, :extra], _bicubic(maps, new_grid).permute(0, 2, 3, 1).flatten(1, 2)], dim=1)


def fill_up(table: Tensor, grid: Size) -> Tensor:
    """Put zeros below and right of a table: (1, h, w, C) -> (1, grid h, grid w, C)."""
    return F.pad(table, (0, 0, 0, grid[1] - table.shape[2], 0, grid[0] - table.shape[1]))


def fit_stored_table(state_dict: dict[str, Tensor], name: str, grid: Size, extra: int = 0) -> None:
    """Stretch the table `name` among stored weights, if it is there, to a model's grid.

    Raises:
        ValueError: its length fits neither the grid nor a square.
    """
    if name in state_dict:
        stored = stored_grid(state_dict[name][:, extra:], grid, name)
        state_dict[name] = resize_table(state_dict[name], stored, grid, extra)


def resize_relative_table(table: Tensor, window: Size, new_window: Size) -> Tensor:
    """Stretch a table of relative biases, bicubic: ((2 h - 1) * (2 w - 1), heads) to that of another window."""
    if window == new_window:
        return table
    offsets, new_offsets = ((2 * size[0] - 1, 2 * size[1] - 1) for size in (window, new_window))
    maps = table.transpose(0, 1).unflatten(1, offsets)[None]
    return _bicubic(maps, new_offsets)[0].flatten(1).transpose(0, 1)


def _bicubic(maps: Tensor, size: Size) -> Tensor:
    """Resize (B, C, h, w), in float32 whatever the weights are stored in."""
    return F.interpolate(maps.float(), size=size, mode='bicubic', align_corners=False).to(maps.dtype)


def stored_grid(table: Tensor, expected: Size, what: str) -> Size:
    """Tell the sides of a stored table of absolute positions, (1, N, C).

    A sin-cos table says itself where a row ends, since the second half of its channels tells the row only; a stretched
    one does too. A table that was trained is taken for what its length says.

    Raises:
        ValueError: the length fits neither the expected sides nor a square.
    """
    rows = table[0, :, table.shape[2] // 2 :].float()
    columns = int(torch.isclose(rows, rows[0], atol=1e-2).all(dim=1).cumprod(dim=0).sum())
    if columns > 1 and len(rows) % columns == 0:
        return len(rows) // columns, columns
    return guess_grid(len(rows), expected, what)


def guess_grid(num_entries: int, expected: Size, what: str) -> Size:
    """Tell the sides of a stored table from its length: the expected ones where they fit, otherwise a square.

    Raises:
        ValueError: neither fits.
    """
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
    """Tell where a window's pairs of tokens stand in a bias table made for `table_window`: int64 (T, T).

    The table may be for a larger window, of which the offsets in the middle are taken.
    """
    rows, columns = torch.meshgrid(*(torch.arange(side, device=device) for side in window), indexing='ij')
    row_offset = rows.flatten()[:, None] - rows.flatten() + table_window[0] - 1
    column_offset = columns.flatten()[:, None] - columns.flatten() + table_window[1] - 1
    return row_offset * (2 * table_window[1] - 1) + column_offset
