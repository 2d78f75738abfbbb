"""Small layers that both encoders and the decoder share. Torch only.

Letters: B images, N tokens, C channels, h x w grid of tokens.
"""

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx
from torch.nn import functional as F

from mixmae_mm.models.utils.attention import Attention
from mixmae_mm.models.utils.autocast import halves_products
from mixmae_mm.utils.validation import check_rate


class DropPath(nn.Module):
    """Drop the residual branch of whole samples at random (Huang et al. 2016, "Deep Networks with Stochastic Depth").

    What is kept is scaled up by 1 / (1 - rate), so that the expectation stays.

    Raises:
        ValueError: a rate outside [0, 1).
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        check_rate(rate=rate)
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """Zero the branch of each sample with the rate: any shape (B, ...)."""
        if not self.training or self.rate == 0:
            return x
        kept = torch.rand(len(x), *[1] * (x.ndim - 1), device=x.device) >= self.rate
        return x * (kept.to(x.dtype) / (1 - self.rate))


class GeluLinear(torch.autograd.Function):
    """Exact GELU, then a linear layer, which keep one tensor for the backward pass and not two.

    The linear layer wants its input again, which is as large as what the GELU keeps: it is computed a second time, in a
    block of memory that its gradient then uses. What is frozen costs nothing.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(hidden: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Transform (..., C) to (..., D)."""
        return F.linear(F.gelu(hidden), weight, bias)

    @staticmethod
    def setup_context(ctx: FunctionCtx, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
        """Keep what goes into both."""
        ctx.save_for_backward(*inputs[:2])

    @staticmethod
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """Return the gradients of those that want one."""
        (hidden, weight), wanted = ctx.saved_tensors, ctx.needs_input_grad
        rows = grad.flatten(0, -2)
        of_bias = rows.sum(dim=0) if wanted[2] else None
        block = F.gelu(hidden) if wanted[1] else None
        of_weight = rows.T @ block.flatten(0, -2) if wanted[1] else None
        if not wanted[0]:
            return None, of_weight, of_bias
        if block is None or torch.is_grad_enabled():  # for second derivatives nothing may be written over
            return torch.ops.aten.gelu_backward(grad @ weight, hidden), of_weight, of_bias
        torch.mm(rows, weight, out=block.flatten(0, -2))
        torch.ops.aten.gelu_backward.grad_input(block, hidden, grad_input=block)
        return block, of_weight, of_bias


def is_plain(layer: nn.Module, kind: type[nn.Module]) -> bool:
    """Return whether a layer is ours: nobody put another there (LoRA, say), hooks, parametrisations, or a `forward`."""
    hooks = layer._forward_hooks, layer._forward_pre_hooks, layer._backward_hooks, layer._backward_pre_hooks
    return type(layer) is kind and not any(hooks) and 'forward' not in vars(layer)


class Mlp(nn.Module):
    """Two linear layers with an exact GELU between."""

    def __init__(self, dims: int, hidden_dims: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dims, hidden_dims)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(hidden_dims, dims)

    def forward(self, x: Tensor) -> Tensor:
        """Transform every token by itself: (..., C) -> (..., C)."""
        hidden = self.fc1(x)
        if not (self.training and hidden.requires_grad and self._is_plain()):
            return self.fc2(self.act(hidden))
        return GeluLinear.apply(hidden, self.fc2.weight.to(hidden.dtype), self.fc2.bias.to(hidden.dtype))

    def _is_plain(self) -> bool:
        """Return whether both layers that would not be called are ours."""
        return is_plain(self.act, nn.GELU) and is_plain(self.fc2, nn.Linear) and self.fc2.bias is not None


class Block(nn.Module):
    """A pre-norm transformer block over a plain sequence, with the parameter names of timm and MAE."""

    def __init__(
        self,
        dims: int,
        num_heads: int,
        mlp_ratio: float = 4.0,
        drop_path: float = 0.0,
        norm_eps: float = 1e-5,
        attention: type[Attention] = Attention,
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dims, norm_eps)
        self.attn = attention(dims, num_heads)
        self.norm2 = nn.LayerNorm(dims, norm_eps)
        self.mlp = Mlp(dims, int(dims * mlp_ratio))
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor, rule: object = None) -> Tensor:
        """Exchange between tokens, as far as the attention's rule allows, then transform each: (B, N, C) -> same."""
        x = x + self.drop_path(self.attn(self.norm1(x), rule))
        return x + self.drop_path(self.mlp(self.norm2(x)))


class PatchEmbed(nn.Module):
    """Cut images into patches and embed each: a convolution as wide as its stride, then LayerNorm if there is one.

    In half precision on the CPU it is computed as the linear layer of pixels that it is, which takes a third to a half
    of the time there (docs/performance.md).
    """

    def __init__(self, patch_size: int, in_channels: int, dims: int, norm: bool = True) -> None:
        super().__init__()
        self.proj = nn.Conv2d(in_channels, dims, patch_size, stride=patch_size)
        self.norm = nn.LayerNorm(dims) if norm else nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        """Embed images (B, C, H, W) as tokens on their grid, (B, h, w, dims).

        Raises:
            ValueError: images of other channels.
        """
        if images.shape[1] != self.proj.in_channels:
            raise ValueError(
                f'images have {images.shape[1]} channels, and the encoder is for {self.proj.in_channels}: set '
                'in_channels of the backbone'
            )
        if images.device.type == 'cpu' and halves_products(images) and _cuts_patches(self.proj):
            return self.norm(self._project(images))
        return self.norm(self.proj(images).permute(0, 2, 3, 1))

    def _project(self, images: Tensor) -> Tensor:
        """Do what the convolution does, patch by patch: (B, C, H, W) -> (B, h, w, dims); what is left over is cut."""
        rows, columns = self.proj.stride
        height, width = (side - side % step for side, step in zip(images.shape[2:], (rows, columns), strict=True))
        cut = images[..., :height, :width].unflatten(3, (-1, columns)).unflatten(2, (-1, rows))
        patches = cut.permute(0, 2, 4, 1, 3, 5).flatten(3)
        return F.linear(patches, self.proj.weight.flatten(1), self.proj.bias)


def _cuts_patches(proj: nn.Module) -> bool:
    """Return whether a projection is the convolution that we made, each of whose outputs sees a patch of its own."""
    if not is_plain(proj, nn.Conv2d):
        return False
    return proj.kernel_size == proj.stride and proj.padding == (0, 0) and proj.dilation == (1, 1) and proj.groups == 1


class PatchMerging(nn.Module):
    """Halve the grid: put 2 x 2 neighboring tokens side by side, LayerNorm, and reduce 4 C to 2 C channels.

    The neighbors' order is timm's: (row, column) = (0, 0), (1, 0), (0, 1), (1, 1).
    """

    def __init__(self, dims: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * dims)
        self.reduction = nn.Linear(4 * dims, 2 * dims, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Merge (B, h, w, C), both sides even, into (B, h / 2, w / 2, 2 * C)."""
        blocks = x.unflatten(2, (-1, 2)).unflatten(1, (-1, 2))
        return self.reduction(self.norm(blocks.permute(0, 1, 3, 4, 2, 5).flatten(3)))


def init_linear_layers(module: nn.Module) -> None:
    """Initialize every linear layer below as the official MixMIM does: Xavier-uniform weights, zero biases."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
