"""Windows over a grid of tokens: cut, put back, and who may see whom inside.

Letters: B images, h x w grid, W windows in an image, T tokens in a window, C channels.
"""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx
from torch.nn import functional as F

from mixmae_mm.mixing import homologous
from mixmae_mm.models.utils.padding import PADDING
from mixmae_mm.models.utils.pos_embed import relative_index
from mixmae_mm.structures import Size


@dataclass(frozen=True)
class Windows:
    """Non-overlapping windows over a grid, made once for all blocks of a stage."""

    grid: Size
    """Tokens (h, w) of the map that is cut."""
    size: Size
    """Tokens (h, w) of a window."""
    keep: Tensor | None
    """Which keys each query may see, bool (B or 1, W, T, T); None where all may, or where there are `segments`."""
    order: Tensor | None = None
    """Which token of the map, filled up, comes next where each window is sorted by labels, int64 (W * T,)."""
    inverse: Tensor | None = None
    """Where each token of the map went, int64 (W * T,)."""
    segments: tuple[int, ...] = ()
    """How many tokens see each other, and no others, one number after another in that order."""
    pairs: Tensor | None = None
    """Where the bias of each pair of tokens of a segment stands in the table, int64 (sum of squared segments,)."""
    inside: bool = False
    """Whether maps come cut already, (B, W, T, C), and are to stay so."""

    @property
    def padding(self) -> Size:
        """Rows and columns of padding that fill up the last windows."""
        return -self.grid[0] % self.size[0], -self.grid[1] % self.size[1]

    def from_inside(self) -> 'Windows':
        """Return the same for maps that come cut already and are to stay so: `cut` and `join` then change nothing."""
        return replace(self, inside=True)

    def cut(self, x: Tensor) -> Tensor:
        """Cut a map into windows, row by row, and sort each if they are to be: (B, h, w, C) -> (B, W, T, C).

        What comes from `inside` stays as it is.
        """
        if self.inside:
            return x
        bottom, right = self.padding
        if bottom or right:
            x = F.pad(x, (0, 0, 0, right, 0, bottom))
        if self.order is not None:
            return Rearrange.apply(x.flatten(1, 2), self.order, self.inverse).unflatten(1, (-1, math.prod(self.size)))
        x = x.unflatten(2, (-1, self.size[1])).unflatten(1, (-1, self.size[0]))
        return x.transpose(2, 3).flatten(3, 4).flatten(1, 2)

    def join(self, windows: Tensor) -> Tensor:
        """Put windows together and crop the padding, the inverse of `cut`: (B, W, T, C) -> (B, h, w, C)."""
        if self.inside:
            return windows
        bottom, right = self.padding
        height, width = self.grid[0] + bottom, self.grid[1] + right
        if self.order is not None:
            x = Rearrange.apply(windows.flatten(1, 2), self.inverse, self.order).unflatten(1, (height, width))
        else:
            x = windows.unflatten(2, self.size).unflatten(1, (-1, width // self.size[1])).transpose(2, 3)
            x = x.flatten(3, 4).flatten(1, 2)
        return x[:, : self.grid[0], : self.grid[1]]


class Rearrange(torch.autograd.Function):
    """Take tokens in another order, (B, N, C), which its inverse undoes: gradients are only moved, never added up."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, order: Tensor, inverse: Tensor) -> Tensor:
        """Return the tokens at `order`, int64 (N,)."""
        return x.index_select(1, order)

    @staticmethod
    def setup_context(ctx: FunctionCtx, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
        """Keep both orders."""
        ctx.save_for_backward(*inputs[1:])

    @staticmethod
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[Tensor, None, None]:
        """Put the gradients where the tokens came from."""
        order, inverse = ctx.saved_tensors
        return Rearrange.apply(gradient, inverse, order), None, None


def plan_windows(
    grid: Size, window: Size, labels: Tensor | None, device: torch.device, in_runs: bool = False
) -> Windows:
    """Lay windows over a stage.

    Args:
        grid: Tokens (h, w) of the stage's map.
        window: The window that the stage was built with; where the grid is smaller, one window takes the whole side.
        labels: The image that each token belongs to, int64 (B or 1, h, w): tokens see only their like. None where all
            tokens of the map may see each other.
        device: Where the map lives.
        in_runs: Sort the tokens of each window by their labels, where the batch shares them, rather than say for each
            pair who may see whom.
    """
    windows = Windows(grid, (min(window[0], grid[0]), min(window[1], grid[1])), None)
    if labels is None and not any(windows.padding):
        return windows
    if labels is None:
        labels = torch.zeros(1, *grid, dtype=torch.int64, device=device)
    # cut() fills up with zeros: shifted by one while cutting, they come out as PADDING
    inside = windows.cut(labels[..., None] - PADDING).squeeze(-1) + PADDING
    if in_runs and len(inside) == 1:
        return _sort(windows, inside[0], relative_index(windows.size, window, device))
    return replace(windows, keep=homologous(inside.flatten(0, 1)).unflatten(0, inside.shape[:2]))


def _sort(windows: Windows, labels: Tensor, index: Tensor) -> Windows:
    """Bring like tokens together in each window: labels (W, T), and where the bias of each pair stands (T, T)."""
    order = labels.argsort(dim=1, stable=True)
    offsets = torch.arange(len(labels), device=labels.device)[:, None]
    names = labels.gather(1, order) + offsets * (labels.max() - labels.min() + 1)  # no two windows share one
    lengths = names.flatten().unique_consecutive(return_counts=True)[1].tolist()
    pairs = torch.cat([index[places[:, None], places].flatten() for places in order.flatten().split(lengths)])
    whole = replace(windows, grid=tuple(side + more for side, more in zip(windows.grid, windows.padding, strict=True)))
    tokens = torch.arange(labels.numel(), device=labels.device).view(1, *whole.grid, 1)
    order = whole.cut(tokens).view(labels.shape).gather(1, order).flatten()
    return replace(windows, order=order, inverse=order.argsort(), segments=tuple(lengths), pairs=pairs)
