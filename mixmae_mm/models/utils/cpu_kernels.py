"""Variable-length attention for training on a CPU: sorts window tokens by source and computes no masked logits.

Letters: B images, h x w grid, W windows of T tokens, N tokens, S heads, C channels. A segment holds the tokens
of one source in one window.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

from mixmae_mm.models.utils.autocast import without_autocast
from mixmae_mm.models.utils.pos_embed import relative_index
from mixmae_mm.models.utils.windows import Windows
from mixmae_mm.structures import Size


def runs_plainly(x: Tensor) -> bool:
    """Return whether a tensor is on a CPU, outside of compilation and tracing."""
    return x.device.type == 'cpu' and not (torch.compiler.is_compiling() or torch.jit.is_tracing())


def prefers_segments(x: Tensor, assignment: Tensor | None, training: bool) -> bool:
    """Return whether to sort windows by an assignment: in training on a CPU, if all mixtures share it."""
    shared = assignment is not None and len(assignment) == 1
    return shared and training and torch.is_grad_enabled() and runs_plainly(x)


@dataclass(frozen=True)
class SortedWindows(Windows):
    """Windows whose tokens are sorted into segments."""

    order: Tensor | None = None
    """Index of each sorted token in the padded map, int64 (W * T,)."""
    inverse: Tensor | None = None
    """Index of each token of the padded map among the sorted tokens, int64 (W * T,)."""
    segments: tuple[int, ...] = ()
    """Lengths of the segments, in order."""
    pairs: Tensor | None = None
    """Bias table index of each pair of tokens of a segment, int64 (sum of squared lengths,)."""
    inside: bool = False
    """Whether inputs are already partitioned and sorted, (B, W, T, C), and outputs stay so."""

    def partition(self, x: Tensor) -> Tensor:
        """Partition a map into windows and sort each: (B, h, w, C) -> (B, W, T, C)."""
        if self.inside:
            return x
        x = Rearrange.apply(self.pad(x).flatten(1, 2), self.order, self.inverse)
        return x.unflatten(1, (-1, math.prod(self.size)))

    def reverse(self, windows: Tensor) -> Tensor:
        """Reverse `partition`, cropping the padding: (B, W, T, C) -> (B, h, w, C)."""
        if self.inside:
            return windows
        x = Rearrange.apply(windows.flatten(1, 2), self.inverse, self.order)
        return x.unflatten(1, (self.grid[0] + self.padding[0], -1))[:, : self.grid[0], : self.grid[1]]


def sort_windows(grid: Size, window: Size, labels: Tensor) -> SortedWindows:
    """Plan windows as `plan_windows` does, and sort the tokens of each by labels (1, h, w)."""
    plain = Windows(grid, (min(window[0], grid[0]), min(window[1], grid[1])))
    labels, index = plain.partition_labels(labels)[0], relative_index(plain.size, window, labels.device)
    order = labels.argsort(dim=1, stable=True)
    offsets = torch.arange(len(labels), device=labels.device)[:, None]
    names = labels.gather(1, order) + offsets * (labels.max() - labels.min() + 1)  # differ between windows
    lengths = names.flatten().unique_consecutive(return_counts=True)[1].tolist()
    pairs = torch.cat([index[places[:, None], places].flatten() for places in order.flatten().split(lengths)])
    whole = Windows((grid[0] + plain.padding[0], grid[1] + plain.padding[1]), plain.size)
    tokens = torch.arange(labels.numel(), device=labels.device).view(1, *whole.grid, 1)
    order = whole.partition(tokens).view(labels.shape).gather(1, order).flatten()
    return SortedWindows(grid, plain.size, order=order, inverse=order.argsort(), segments=tuple(lengths), pairs=pairs)


def sort_once(x: Tensor, plans: dict[Size, Windows]) -> tuple[Tensor, dict[Size, Windows], SortedWindows | None]:
    """Sort a stage's tokens (B, h, w, C) once if its blocks share a plan: tokens, plans, and the plan that reverses it.

    Padded windows are sorted in each block instead, because otherwise padding would pass through the MLPs, too.
    """
    only = next(iter(plans.values())) if len(plans) == 1 else None
    if not isinstance(only, SortedWindows) or any(only.padding):
        return x, plans, None
    return only.partition(x), dict.fromkeys(plans, replace(only, inside=True)), only


class Rearrange(torch.autograd.Function):
    """Permutation of tokens (B, N, C), which permutes gradients back instead of accumulating them."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, order: Tensor, inverse: Tensor) -> Tensor:
        """Return the tokens at `order`, int64 (N,)."""
        ctx.save_for_backward(order, inverse)
        return x.index_select(1, order)

    @staticmethod
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[Tensor, None, None]:
        """Permute the gradients back."""
        order, inverse = ctx.saved_tensors
        return Rearrange.apply(gradient, inverse, order), None, None


class Logits(torch.autograd.Function):
    """Logits of queries and keys, (..., T, D) each -> (..., T, T), with gradients in the tokens' memory layout."""

    @staticmethod
    def forward(ctx: FunctionCtx, query: Tensor, key: Tensor, scale: float) -> Tensor:
        """Return the scaled dot products."""
        ctx.save_for_backward(query, key)
        ctx.scale = scale
        return (query * scale) @ key.transpose(-1, -2)

    @staticmethod
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        """Return the gradients of queries and keys."""
        query, key = ctx.saved_tensors
        return (gradient @ key) * ctx.scale, (gradient.transpose(-1, -2) @ query) * ctx.scale, None


def attend_segments(qkv: Tensor, num_heads: int, bias: Tensor, segments: Sequence[int]) -> Tensor:
    """Compute softmax attention inside each segment: projected tokens (B, N, 3 * C) -> (B, N, C).

    `segments` are the lengths of the segments, which add up to N. `bias`, added to the logits, has the segments one
    after another: (S, sum of squared lengths).
    """
    out, scale = [], (qkv.shape[-1] // 3 // num_heads) ** -0.5
    with without_autocast(qkv):
        biases = bias.to(qkv.dtype).split([length**2 for length in segments], dim=1)
        for tokens, of_pairs in zip(qkv.unflatten(2, (3, num_heads, -1)).split(segments, dim=1), biases, strict=True):
            query, key, value = tokens.permute(2, 0, 3, 1, 4).flatten(1, 2)
            logits = Logits.apply(query * scale, key, 1.0).unflatten(0, (-1, num_heads))
            weights = (logits + of_pairs.unflatten(1, logits.shape[2:])).softmax(dim=-1).flatten(0, 1)
            out.append(torch.bmm(weights, value).unflatten(0, (-1, num_heads)).transpose(1, 2))
        return torch.cat(out, dim=1).flatten(2)
