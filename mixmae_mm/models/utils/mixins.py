"""Resizing of stored position embeddings to a model's grid when they are loaded.

Different grids can have the same number of entries, so models store the sides of a grid that is not square. In files
without them, the sides of a bias table follow from its index, and those of a sin-cos embedding from its values. Other
sides are assumed, and the load report says so.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mixmae_mm.models.utils.pos_embed import (
    guess_grid,
    infer_grid,
    relative_index,
    resize_bias_table,
    resize_pos_embed,
    sin_cos_pos_embed,
)
from mixmae_mm.structures import Fitted, Size


class FitsStored:
    """Mixin for modules that adapt stored tensors before loading them; comes before `nn.Module` among the bases."""

    def fit_stored(self, state_dict: dict[str, Tensor], prefix: str) -> dict[str, Fitted]:
        """Adapt the tensors whose names begin with `prefix`, in place; a second call changes nothing.

        Returns how each position embedding was resized, by name; raises `ValueError` for one that cannot be.
        """
        raise NotImplementedError

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args: object) -> None:
        """Adapt the stored tensors, then load them."""
        self.fit_stored(state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *args)


class HasPosEmbed(FitsStored):
    """Mixin for modules with one position embedding, for a grid and for tokens before it (CLS)."""

    def add_pos_embed(self, name: str, grid: Size, dims: int, extra: int = 0, trained: bool = False) -> None:
        """Add a sin-cos embedding as the parameter `name`, with zeros for the `extra` tokens before the grid."""
        self.grid, self._pos_embed, self._extra = grid, name, extra
        pos_embed = torch.cat([torch.zeros(1, extra, dims), sin_cos_pos_embed(grid, dims)], dim=1)
        self.register_parameter(name, nn.Parameter(pos_embed, requires_grad=trained))
        keep_grid(self, name, grid)

    def fit_stored(self, state_dict: dict[str, Tensor], prefix: str) -> dict[str, Fitted]:
        """Resize a stored position embedding to this grid, in place."""
        name = prefix + self._pos_embed
        known = stored_grid(state_dict, name, self._extra)
        state_dict.pop(f'{name}_grid', None)
        if name not in state_dict:
            return {}
        pos_embed = state_dict[name]
        stored = known or guess_grid(pos_embed.shape[1] - self._extra, self.grid, name)
        state_dict[name] = resize_pos_embed(pos_embed, stored, self.grid, self._extra)
        if self.grid[0] != self.grid[1]:
            state_dict[f'{name}_grid'] = torch.tensor(self.grid, device=pos_embed.device)
        return {name: Fitted(stored, self.grid, known is not None)}


def keep_grid(module: nn.Module, name: str, grid: Size) -> None:
    """Store the sides of a grid that is not square in a buffer next to the parameter `name`."""
    if grid[0] != grid[1]:
        module.register_buffer(f'{name}_grid', torch.tensor(grid))


def stored_grid(weights: Mapping[str, Tensor], name: str, extra: int = 0) -> Size | None:
    """Return the grid of a stored embedding, as stored next to it or inferred; None if neither is possible."""
    pos_embed, stored = weights.get(name), weights.get(f'{name}_grid')
    if pos_embed is None or stored is None:
        return None if pos_embed is None else infer_grid(pos_embed[:, extra:])
    sides = tuple(stored.flatten().tolist())
    entries = pos_embed.shape[1] - extra
    if len(sides) != 2 or min(sides) < 1 or sides[0] * sides[1] != entries:
        raise ValueError(f'{name} holds {entries} entries, but {name}_grid says {sides}: it is damaged')
    return sides


def fit_stored_biases(state_dict: dict[str, Tensor], prefix: str, window: Size) -> dict[str, Fitted]:
    """Resize a stored bias table to a model's window and replace its index, in place."""
    name, index = f'{prefix}relative_position_bias_table', f'{prefix}relative_position_index'
    sides = state_dict.pop(f'{name}_grid', None)
    if name not in state_dict:
        return {}
    table = state_dict[name]
    known = windows_of_index(len(table), state_dict.get(index))
    known = known if sides is None else [size for size in known if size == tuple(sides.tolist())]
    if known:
        stored = window if window in known else known[0]
    else:  # this window if it fits the number of entries, otherwise a square
        offsets = guess_grid(len(table), (2 * window[0] - 1, 2 * window[1] - 1), name)
        stored = (offsets[0] + 1) // 2, (offsets[1] + 1) // 2
    state_dict[name] = resize_bias_table(table, stored, window)
    state_dict[index] = relative_index(window, window, table.device)
    if 1 in window and window != (1, 1):
        state_dict[f'{name}_grid'] = torch.tensor(window, device=table.device)
    return {name: Fitted(stored, window, len(known) == 1)}


def windows_of_index(entries: int, index: Tensor | None) -> list[Size]:
    """Return the windows with this number of biases and this index (T, T): one, or two if it is one token wide."""
    tokens = 0 if index is None else len(index)
    windows = [(tokens // width, width) for width in range(1, tokens + 1) if tokens % width == 0]
    fitting = [window for window in windows if (2 * window[0] - 1) * (2 * window[1] - 1) == entries]
    return [window for window in fitting if torch.equal(relative_index(window, window), index.cpu())]
