"""Windows over a grid of tokens: partition, its inverse, and which keys each query keeps.

Letters: B images, h x w grid, N = h * w tokens, W windows in an image, T tokens in a window, C channels.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from mixmae_mm.mixing import homologous
from mixmae_mm.models.utils.attention import Attention, FixedKeys
from mixmae_mm.models.utils.padding import PADDING
from mixmae_mm.structures import Size


@dataclass(frozen=True)
class Windows:
    """Non-overlapping windows over a grid, planned once for all blocks of a stage."""

    grid: Size
    """Tokens (h, w) of the map."""
    size: Size
    """Tokens (h, w) of a window."""
    keep: Tensor | None = None
    """Which keys each query keeps, bool (B or 1, W, T, T); None for all."""
    labels: Tensor | None = None
    """The image of each token, int64 (B or 1, W, T), if attention has to guess which keys to keep; else None."""

    @property
    def padding(self) -> Size:
        """Numbers of rows and columns that pad the last windows."""
        return -self.grid[0] % self.size[0], -self.grid[1] % self.size[1]

    def pad(self, x: Tensor) -> Tensor:
        """Pad the last windows of a map (B, h, w, C) with zeros."""
        bottom, right = self.padding
        return F.pad(x, (0, 0, 0, right, 0, bottom)) if bottom or right else x

    def partition(self, x: Tensor) -> Tensor:
        """Partition a map into windows, row by row: (B, h, w, C) -> (B, W, T, C)."""
        x = self.pad(x).unflatten(2, (-1, self.size[1])).unflatten(1, (-1, self.size[0]))
        return x.transpose(2, 3).flatten(3, 4).flatten(1, 2)

    def reverse(self, windows: Tensor) -> Tensor:
        """Reverse `partition`, cropping the padding: (B, W, T, C) -> (B, h, w, C)."""
        columns = (self.grid[1] + self.padding[1]) // self.size[1]
        x = windows.unflatten(2, self.size).unflatten(1, (-1, columns)).transpose(2, 3)
        return x.flatten(3, 4).flatten(1, 2)[:, : self.grid[0], : self.grid[1]]

    def partition_labels(self, labels: Tensor) -> Tensor:
        """Partition labels of tokens, padded with `PADDING`: int64 (B, h, w) -> (B, W, T)."""
        shifted = labels[..., None] - PADDING  # because `partition` pads with zeros
        return self.partition(shifted).squeeze(-1) + PADDING


def plan_windows(grid: Size, window: Size, labels: Tensor | None, device: torch.device, guess: bool = False) -> Windows:
    """Plan the windows of a map (h, w), clipped to its sides.

    `labels` state the image of each token, int64 (B or 1, h, w); only tokens of the same image attend to each other.
    None lets all attend to all. With `guess`, attention has to guess which tokens are of the same image.
    """
    windows = Windows(grid, (min(window[0], grid[0]), min(window[1], grid[1])))
    if labels is None and not any(windows.padding):
        return windows
    if labels is None:
        labels = torch.zeros(1, *grid, dtype=torch.int64, device=device)
    inside = windows.partition_labels(labels)
    keep = homologous(inside.flatten(0, 1)).unflatten(0, inside.shape[:2])
    return replace(windows, keep=keep, labels=inside if guess else None)


class WindowedAttention(Attention):
    """Self-attention inside windows of a plain ViT's patches (ViTDet, arXiv 2203.16527)."""

    def forward(self, x: Tensor, windows: Windows) -> Tensor:
        """Attend inside each window of a grid, given row by row: (B, N, C) -> (B, N, C)."""
        parts = windows.partition(x.unflatten(1, windows.grid))
        keep = windows.keep
        if keep is not None:
            keep = keep.expand(x.shape[0], -1, -1, -1).flatten(0, 1)[:, None]
        out = super().forward(parts.flatten(0, 1), None if keep is None else FixedKeys(keep))
        return windows.reverse(out.unflatten(0, parts.shape[:2])).flatten(1, 2)
