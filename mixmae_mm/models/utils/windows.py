"""Windows over a grid of tokens: cut, put back, and who may see whom inside.

Letters: B images, h x w grid, W windows in an image, T tokens in a window, C channels.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from mixmae_mm.mixing import homologous
from mixmae_mm.models.utils.padding import PADDING
from mixmae_mm.structures import Size


@dataclass(frozen=True)
class Windows:
    """Non-overlapping windows over a grid, made once for all blocks of a stage."""

    grid: Size
    """Tokens (h, w) of the map that is cut."""
    size: Size
    """Tokens (h, w) of a window."""
    keep: Tensor | None = None
    """Which keys each query may see, bool (B or 1, W, T, T); None where all may."""

    @property
    def padding(self) -> Size:
        """Rows and columns of padding that fill up the last windows."""
        return -self.grid[0] % self.size[0], -self.grid[1] % self.size[1]

    def pad(self, x: Tensor) -> Tensor:
        """Fill up the last windows of a map (B, h, w, C) with zeros."""
        bottom, right = self.padding
        return F.pad(x, (0, 0, 0, right, 0, bottom)) if bottom or right else x

    def cut(self, x: Tensor) -> Tensor:
        """Cut a map into windows, row by row: (B, h, w, C) -> (B, W, T, C)."""
        x = self.pad(x).unflatten(2, (-1, self.size[1])).unflatten(1, (-1, self.size[0]))
        return x.transpose(2, 3).flatten(3, 4).flatten(1, 2)

    def join(self, windows: Tensor) -> Tensor:
        """Put windows together and crop the padding, the inverse of `cut`: (B, W, T, C) -> (B, h, w, C)."""
        columns = (self.grid[1] + self.padding[1]) // self.size[1]
        x = windows.unflatten(2, self.size).unflatten(1, (-1, columns)).transpose(2, 3)
        return x.flatten(3, 4).flatten(1, 2)[:, : self.grid[0], : self.grid[1]]

    def cut_labels(self, labels: Tensor) -> Tensor:
        """Cut labels of tokens, what fills up being `PADDING`: int64 (B, h, w) -> (B, W, T)."""
        return self.cut(labels[..., None] - PADDING).squeeze(-1) + PADDING  # shifted, since zeros fill up


def plan_windows(grid: Size, window: Size, labels: Tensor | None, device: torch.device) -> Windows:
    """Lay windows over a map of tokens (h, w); where it is smaller than the window, one takes the whole side.

    `labels` say which image each token belongs to, int64 (B or 1, h, w): tokens see only their like; None where all may
    see each other.
    """
    windows = Windows(grid, (min(window[0], grid[0]), min(window[1], grid[1])))
    if labels is None and not any(windows.padding):
        return windows
    if labels is None:
        labels = torch.zeros(1, *grid, dtype=torch.int64, device=device)
    inside = windows.cut_labels(labels)
    return replace(windows, keep=homologous(inside.flatten(0, 1)).unflatten(0, inside.shape[:2]))
