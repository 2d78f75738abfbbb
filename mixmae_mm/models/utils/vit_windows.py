"""What a plain ViT's patches may see in large images and padded batches: windows, and images without padding.

Letters: B images, h x w = N patches, C channels, S heads, T patches in a window.
"""

from collections.abc import Collection

import torch
from torch import Tensor
from torch.nn import functional as F

from mixmae_mm.models.utils.attention import Attention, Select, Told
from mixmae_mm.models.utils.padding import PADDING
from mixmae_mm.models.utils.windows import Windows, plan_windows
from mixmae_mm.structures import Size


class WindowedAttention(Attention):
    """Self-attention inside windows of a sequence that is a grid, row by row (ViTDet, arXiv 2203.16527)."""

    def forward(self, x: Tensor, windows: Windows) -> Tensor:
        """Let the patches of each window see each other: (B, N, C) -> (B, N, C)."""
        cut = windows.cut(x.unflatten(1, windows.grid))
        keep = windows.keep
        if keep is not None:
            keep = keep.expand(len(x), -1, -1, -1).flatten(0, 1)[:, None]
        seen = super().forward(cut.flatten(0, 1), None if keep is None else Told(keep))
        return windows.join(seen.unflatten(0, cut.shape[:2])).flatten(1, 2)


def plan_blocks(
    depth: int,
    grid: Size,
    padding: Tensor | None,
    windowed: Collection[int],
    window: Size | None,
    extra: int,
    device: torch.device,
) -> dict[int, Select | Windows]:
    """Make the attention rule of each block that has one.

    Args:
        depth: Number of blocks.
        grid: Patches (h, w) of the batch.
        padding: Labels of the patches, `PADDING` where no image is, (B or 1, h, w); None where all is image.
        windowed: The blocks that look inside windows.
        window: Patches (h, w) of a window; where the grid is smaller, the whole side.
        extra: Tokens before the patches, which all see and which see all.
        device: Where the patches live.
    """
    rules = {}
    if padding is not None:
        shown = F.pad((padding != PADDING).flatten(1), (extra, 0), value=True)
        rules = dict.fromkeys(range(depth), Told(shown[:, None, None]))
    if windowed:
        rules |= dict.fromkeys(windowed, plan_windows(grid, window, padding, device))
    return rules
