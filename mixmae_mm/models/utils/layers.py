"""Small layers that both encoders and the decoder share.

Letters: B images, C channels, h x w grid of tokens.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from mixmae_mm.models.utils.attention import Attention


class DropPath(nn.Module):
    """Stochastic depth: drops the residual branch of samples at random and scales up the rest (Huang et al. 2016)."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """Zero the branch of each sample with probability `rate`: any shape (B, ...)."""
        if not self.training or self.rate == 0:
            return x
        kept = torch.rand(len(x), *[1] * (x.ndim - 1), device=x.device) >= self.rate
        return x * (kept.to(x.dtype) / (1 - self.rate))


class Mlp(nn.Module):
    """Two linear layers with an exact GELU in between."""

    def __init__(self, dims: int, hidden_dims: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dims, hidden_dims)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(hidden_dims, dims)

    def forward(self, x: Tensor) -> Tensor:
        """Transform each token: (..., C) -> (..., C)."""
        return self.fc2(self.act(self.fc1(x)))


class Block(nn.Module):
    """A pre-norm transformer block, with the parameter names of timm and MAE."""

    def __init__(
        self,
        dims: int,
        num_heads: int,
        mlp_ratio: float = 4.0,
        drop_path: float = 0.0,
        norm_eps: float = 1e-5,
        attention: Callable[[int, int], nn.Module] = Attention,
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dims, norm_eps)
        self.attn = attention(dims, num_heads)
        self.norm2 = nn.LayerNorm(dims, norm_eps)
        self.mlp = Mlp(dims, int(dims * mlp_ratio))
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor, rule: object = None) -> Tensor:
        """Attend as the attention interprets `rule`, then transform each token: (B, ..., C) -> (B, ..., C)."""
        x = x + self.drop_path(self.attn(self.norm1(x), rule))
        return x + self.drop_path(self.mlp(self.norm2(x)))


class PatchEmbed(nn.Module):
    """Patch embedding: a convolution whose stride is its kernel size, then LayerNorm if `norm` is set."""

    def __init__(self, patch_size: int, in_channels: int, dims: int, norm: bool = True) -> None:
        super().__init__()
        self.proj = nn.Conv2d(in_channels, dims, patch_size, stride=patch_size)
        self.norm = nn.LayerNorm(dims) if norm else nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        """Embed images: (B, C, H, W) -> (B, h, w, dims)."""
        return self.norm(self.proj(images).permute(0, 2, 3, 1))


class PatchMerging(nn.Module):
    """Patch merging: concatenates 2 x 2 tokens, column by column as in timm, and projects 4 C to 2 C channels."""

    def __init__(self, dims: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * dims)
        self.reduction = nn.Linear(4 * dims, 2 * dims, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Merge (B, h, w, C), both sides even, into (B, h / 2, w / 2, 2 * C)."""
        blocks = x.unflatten(2, (-1, 2)).unflatten(1, (-1, 2))
        return self.reduction(self.norm(blocks.permute(0, 1, 3, 4, 2, 5).flatten(3)))


def init_linear_layers(module: nn.Module) -> None:
    """Initialize every linear layer of a module as the official MixMIM does: Xavier-uniform weights, zero biases."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
