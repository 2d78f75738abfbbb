"""Attention inside windows of a plain ViT's patches.

Letters: B images, N patches, C channels.
"""

from torch import Tensor

from mixmae_mm.models.utils.attention import Attention, FixedKeys
from mixmae_mm.models.utils.windows import Windows


class WindowedAttention(Attention):
    """Self-attention inside windows of a sequence that is a grid, row by row (ViTDet, arXiv 2203.16527)."""

    def forward(self, x: Tensor, windows: Windows) -> Tensor:
        """Let the patches of each window see each other: (B, N, C) -> (B, N, C)."""
        cut = windows.cut(x.unflatten(1, windows.grid))
        keep = windows.keep
        if keep is not None:
            keep = keep.expand(len(x), -1, -1, -1).flatten(0, 1)[:, None]
        seen = super().forward(cut.flatten(0, 1), None if keep is None else FixedKeys(keep))
        return windows.join(seen.unflatten(0, cut.shape[:2])).flatten(1, 2)
