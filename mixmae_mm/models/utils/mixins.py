"""How models make stored weights fit before they are copied.

The length of a position embedding is that of several grids. So a model whose grid is not square stores its sides, too;
a bias table has its index, and a sin-cos table says its sides itself. Of others they are assumed, as the report says.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mixmae_mm.models.utils.pos_embed import (
    guess_grid,
    relative_index,
    resize_relative_table,
    resize_table,
    token_table,
    told_grid,
)
from mixmae_mm.structures import Fitted, Size


class FitsStored:
    """A module that adapts what is stored for it, position embeddings above all; goes before `nn.Module` as a base."""

    def fit_stored(self, state_dict: dict[str, Tensor], prefix: str) -> dict[str, Fitted]:
        """Adapt the stored tensors whose names begin with `prefix`, in place; doing so twice changes nothing more.

        Returns what became of each table, by its name; raises a `ValueError` where they cannot be adapted.
        """
        raise NotImplementedError

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args: object) -> None:
        """Adapt, then have PyTorch copy."""
        self.fit_stored(state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *args)


class HasPositions(FitsStored):
    """A module with one table of absolute positions, for a grid and tokens without a place before it."""

    def add_positions(self, name: str, grid: Size, dims: int, extra: int = 0, trained: bool = False) -> None:
        """Make the table as the parameter `name`."""
        self.grid, self._table, self._extra = grid, name, extra
        self.register_parameter(name, nn.Parameter(token_table(grid, dims, extra), requires_grad=trained))
        keep_grid(self, name, grid)

    def fit_stored(self, state_dict: dict[str, Tensor], prefix: str) -> dict[str, Fitted]:
        """Resize a stored position embedding to this grid, in place."""
        name = prefix + self._table
        known = known_grid(state_dict, name, self._extra)
        state_dict.pop(f'{name}_grid', None)
        if name not in state_dict:
            return {}
        table = state_dict[name]
        stored = known or guess_grid(table.shape[1] - self._extra, self.grid, name)
        state_dict[name] = resize_table(table, stored, self.grid, self._extra)
        if self.grid[0] != self.grid[1]:
            state_dict[f'{name}_grid'] = torch.tensor(self.grid, device=table.device)
        return {name: Fitted(stored, self.grid, known is not None)}


def keep_grid(module: nn.Module, table: str, grid: Size) -> None:
    """Have a module store the sides of a table under `<table>_grid`; squares, which official models have, need none."""
    if grid[0] != grid[1]:
        module.register_buffer(f'{table}_grid', torch.tensor(grid))


def known_grid(weights: Mapping[str, Tensor], name: str, extra: int = 0) -> Size | None:
    """Return the sides of a stored table, as they are stored with it or as it says them itself; None for others."""
    table, stored = weights.get(name), weights.get(f'{name}_grid')
    if table is None or stored is None:
        return None if table is None else told_grid(table[:, extra:])
    sides = tuple(stored.flatten().tolist())
    if len(sides) != 2 or min(sides) < 1 or sides[0] * sides[1] != table.shape[1] - extra:
        raise ValueError(f'{name} holds {table.shape[1] - extra} entries, and {name}_grid says {sides}: it is damaged')
    return sides


def fit_stored_biases(state_dict: dict[str, Tensor], prefix: str, window: Size) -> dict[str, Fitted]:
    """Resize the bias table of a window attention, if it is there, to a model's window, whose index it gets."""
    name, index = f'{prefix}relative_position_bias_table', f'{prefix}relative_position_index'
    sides = state_dict.pop(f'{name}_grid', None)
    if name not in state_dict:
        return {}
    table = state_dict[name]
    known = told_windows(len(table), state_dict.get(index))
    known = known if sides is None else [size for size in known if size == tuple(sides.tolist())]
    stored = window if window in known else known[0] if known else _guess_window(len(table), window, name)
    state_dict[name] = resize_relative_table(table, stored, window)
    state_dict[index] = relative_index(window, window, table.device)
    if 1 in window and window != (1, 1):
        state_dict[f'{name}_grid'] = torch.tensor(window, device=table.device)
    return {name: Fitted(stored, window, len(known) == 1)}


def told_windows(entries: int, index: Tensor | None) -> list[Size]:
    """Return the windows of a bias table of so many entries that a stored index (T, T) is of: one, or two of a line."""
    tokens = 0 if index is None else len(index)
    windows = [(tokens // width, width) for width in range(1, tokens + 1) if tokens % width == 0]
    fitting = [window for window in windows if (2 * window[0] - 1) * (2 * window[1] - 1) == entries]
    return [window for window in fitting if torch.equal(relative_index(window, window), index.cpu())]


def _guess_window(entries: int, expected: Size, name: str) -> Size:
    """Return the window of a bias table by its length: the expected one where it fits, otherwise a square."""
    offsets = guess_grid(entries, (2 * expected[0] - 1, 2 * expected[1] - 1), name)
    return (offsets[0] + 1) // 2, (offsets[1] + 1) // 2
