"""A backbone in one file: MLP-Mixer at the stride of the cells.

Letters: B images, C channels, H x W pixels, N = h x w tokens of an image.
"""

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from mixmae_mm.registry import MODELS


def mlp(dims: int, hidden: int) -> nn.Sequential:
    """Make the MLP of two layers that a mixer consists of."""
    return nn.Sequential(nn.Linear(dims, hidden), nn.GELU(), nn.Linear(hidden, dims))


class MixerBlock(nn.Module):
    """Mix over the tokens of a channel, then over the channels of a token (MLP-Mixer, arXiv 2105.01601)."""

    def __init__(self, num_tokens: int, dims: int) -> None:
        super().__init__()
        self.norm1, self.tokens = nn.LayerNorm(dims), mlp(num_tokens, num_tokens * 2)
        self.norm2, self.channels = nn.LayerNorm(dims), mlp(dims, dims * 4)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """Mix (B, N, C); tokens of each label (B or 1, N) are mixed separately, with 0 in place of the others."""
        normed, mixed = self.norm1(x), torch.zeros_like(x)
        for own in [None] if labels is None else [labels[..., None] == label for label in labels.unique()]:
            alone = normed if own is None else normed * own
            alone = self.tokens(alone.transpose(1, 2)).transpose(1, 2)
            mixed = mixed + (alone if own is None else alone * own)
        x = x + mixed
        return x + self.channels(self.norm2(x))


@MODELS.register_module()
class CellMixer(BaseModule):
    """MLP-Mixer whose patches are the cells, so that its only map has the grid that MixMAE needs.

    Given an assignment, it mixes the tokens of each source separately: its counterpart of MixMAE's masked attention.

    Args:
        img_size: Side of the images; a mixer takes one size only.
        cell_size: Side of a cell, and of a patch.
        embed_dims: Channels.
        depth: Number of blocks.
        init_cfg: mmengine's.
    """

    def __init__(
        self, img_size: int, cell_size: int, embed_dims: int = 128, depth: int = 4, init_cfg: dict | None = None
    ) -> None:
        super().__init__(init_cfg)
        self.patch_embed = nn.Conv2d(3, embed_dims, cell_size, cell_size)
        self.blocks = nn.ModuleList(MixerBlock((img_size // cell_size) ** 2, embed_dims) for _ in range(depth))
        self.norm = nn.LayerNorm(embed_dims)

    def forward(self, images: Tensor, assignment: Tensor | None = None) -> tuple[Tensor, ...]:
        """Encode images (B, 3, H, W), or mixtures with an assignment (B or 1, h, w), to one map (B, C, h, w)."""
        embedded = self.patch_embed(images)
        x = embedded.flatten(2).transpose(1, 2)
        labels = None if assignment is None else assignment.flatten(1)
        for block in self.blocks:
            x = block(x, labels)
        return (self.norm(x).transpose(1, 2).reshape(embedded.shape),)
