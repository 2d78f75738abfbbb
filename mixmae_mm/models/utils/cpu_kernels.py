"""What trains faster on a CPU: windows whose tokens are sorted by source, and logits computed once.

Nothing here changes what a model computes (`test_cpu_kernels.py`), and no other device uses it. In a window that is
sorted, the tokens of a source are a *segment*: what a map would mask is never computed.

Letters: B images, h x w grid, W windows of T tokens, N tokens, S heads, D channels of a head, C = S * D, L tokens of a
segment.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from mixmae_mm.models.utils.autocast import without_autocast
from mixmae_mm.models.utils.pos_embed import relative_index
from mixmae_mm.models.utils.windows import Windows
from mixmae_mm.structures import Size


def runs_plainly(x: Tensor) -> bool:
    """Return whether a tensor is on a CPU, and nobody records PyTorch's operations."""
    return x.device.type == 'cpu' and not (torch.compiler.is_compiling() or torch.jit.is_tracing())


def prefers_segments(x: Tensor, assignment: Tensor | None, training: bool) -> bool:
    """Return whether to sort windows by an assignment: in training on a CPU, where all mixtures share it."""
    shared = assignment is not None and len(assignment) == 1
    return shared and training and torch.is_grad_enabled() and runs_plainly(x)


@dataclass(frozen=True)
class SortedWindows(Windows):
    """Windows in each of which the tokens come segment by segment."""

    order: Tensor | None = None
    """Which token of the map, filled up, comes next, int64 (W * T,)."""
    inverse: Tensor | None = None
    """Where each token of the map went, int64 (W * T,)."""
    segments: tuple[int, ...] = ()
    """How many tokens see each other, and no others, one number after another in that order."""
    pairs: Tensor | None = None
    """Where the bias of each pair of tokens of a segment stands in the table, int64 (sum of squared segments,)."""
    inside: bool = False
    """Whether maps come cut already, (B, W, T, C), and are to stay so."""

    def cut(self, x: Tensor) -> Tensor:
        """Cut a map into windows and sort each: (B, h, w, C) -> (B, W, T, C)."""
        if self.inside:
            return x
        x = Rearrange.apply(self.pad(x).flatten(1, 2), self.order, self.inverse)
        return x.unflatten(1, (-1, math.prod(self.size)))

    def join(self, windows: Tensor) -> Tensor:
        """Put tokens back and crop the padding, the inverse of `cut`: (B, W, T, C) -> (B, h, w, C)."""
        if self.inside:
            return windows
        x = Rearrange.apply(windows.flatten(1, 2), self.inverse, self.order)
        return x.unflatten(1, (self.grid[0] + self.padding[0], -1))[:, : self.grid[0], : self.grid[1]]


def sort_windows(grid: Size, window: Size, labels: Tensor) -> SortedWindows:
    """Lay windows over a stage as `plan_windows` does, and sort each by labels (1, h, w)."""
    plain = Windows(grid, (min(window[0], grid[0]), min(window[1], grid[1])))
    labels, index = plain.cut_labels(labels)[0], relative_index(plain.size, window, labels.device)
    order = labels.argsort(dim=1, stable=True)
    offsets = torch.arange(len(labels), device=labels.device)[:, None]
    names = labels.gather(1, order) + offsets * (labels.max() - labels.min() + 1)  # no two windows share one
    lengths = names.flatten().unique_consecutive(return_counts=True)[1].tolist()
    pairs = torch.cat([index[places[:, None], places].flatten() for places in order.flatten().split(lengths)])
    whole = Windows((grid[0] + plain.padding[0], grid[1] + plain.padding[1]), plain.size)
    tokens = torch.arange(labels.numel(), device=labels.device).view(1, *whole.grid, 1)
    order = whole.cut(tokens).view(labels.shape).gather(1, order).flatten()
    return SortedWindows(grid, plain.size, None, order, order.argsort(), tuple(lengths), pairs)


def sort_once(x: Tensor, plans: dict[Size, Windows]) -> tuple[Tensor, dict[Size, Windows], SortedWindows | None]:
    """Sort the tokens (B, h, w, C) of a stage for all blocks, if they share a plan: tokens, plans, and how to go back.

    Windows that are filled up are sorted in each block: what fills them up would go through the MLPs too.
    """
    only = next(iter(plans.values())) if len(plans) == 1 else None
    if not isinstance(only, SortedWindows) or any(only.padding):
        return x, plans, None
    return only.cut(x), dict.fromkeys(plans, replace(only, inside=True)), only


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


def attend_segments(qkv: Tensor, num_heads: int, bias: Tensor, segments: Sequence[int]) -> Tensor:
    """Softmax attention of each token to those of its segment: projected tokens (B, N, 3 * C) -> (B, N, C).

    Args:
        qkv: Query, key and value of each token, each with its heads side by side.
        num_heads: S.
        bias: Added to the logits, for each pair of tokens of a segment, one segment after another: (S, sum of squares).
        segments: How many tokens stand in each segment; together they are N.
    """
    with without_autocast(qkv):
        return _AttendSegments.apply(qkv.unflatten(2, (3, num_heads, -1)), bias, tuple(segments))[0].flatten(2)


class _AttendSegments(torch.autograd.Function):
    """All segments of a layer in one step; each token is copied once on its way there, and once back."""

    @staticmethod
    def forward(qkv: Tensor, bias: Tensor, segments: tuple[int, ...]) -> tuple[Tensor, ...]:
        """Attend: (B, N, 3, S, D) -> (B, N, S, D), and what the backward pass needs of each segment."""
        out, kept, biases = qkv.new_empty(qkv[:, :, 0].shape), [], _cut_pairs(bias.to(qkv.dtype), segments)
        for tokens, of_pairs, seen in zip(qkv.split(segments, dim=1), biases, out.split(segments, dim=1), strict=True):
            copy = tokens.permute(2, 0, 3, 1, 4).clone(memory_format=torch.contiguous_format)
            query, key, value = segment = copy.flatten(1, 2)
            query.mul_(qkv.shape[-1] ** -0.5)
            logits = torch.bmm(query, key.transpose(1, 2))
            logits.unflatten(0, (-1, len(bias))).add_(of_pairs.unflatten(1, logits.shape[1:]))
            weights = logits.softmax(dim=-1)
            seen.transpose(1, 2).copy_(torch.bmm(weights, value).unflatten(0, (-1, len(bias))))
            kept += [segment, weights]
        return out, *kept

    @staticmethod
    def setup_context(
        ctx: FunctionCtx, inputs: tuple[Tensor, Tensor, tuple[int, ...]], output: tuple[Tensor, ...]
    ) -> None:
        """Keep queries, keys, values and weights of each segment."""
        ctx.mark_non_differentiable(*output[1:])
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*output[1:])
        ctx.segments, ctx.of_bias = inputs[2], (inputs[1].shape, inputs[1].dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor | None, *of_kept: None) -> tuple[Tensor | None, Tensor | None, None]:
        """Return the gradients of projected tokens and bias, of those that want one."""
        if grad is None:
            return None, None, None
        (shape, dtype), segments, kept, wanted = ctx.of_bias, ctx.segments, ctx.saved_tensors, ctx.needs_input_grad
        of_qkv, of_bias = grad.new_empty(*grad.shape[:2], 3, *grad.shape[2:]), grad.new_empty(shape, dtype=dtype)
        parts = grad.split(segments, 1), of_qkv.split(segments, 1), _cut_pairs(of_bias, segments)
        with without_autocast(grad):
            for segment, weights, seen, of_tokens, of_pairs in zip(kept[::2], kept[1::2], *parts, strict=True):
                of_seen = seen.transpose(1, 2).flatten(0, 1)
                of_weights = torch.bmm(of_seen, segment[2].transpose(1, 2))
                of_logits = torch.ops.aten._softmax_backward_data(of_weights, weights, -1, weights.dtype)
                if wanted[0]:
                    _put_gradients(of_tokens, segment, weights, of_seen, of_logits)
                if wanted[1]:
                    of_pairs.copy_(of_logits.view(-1, *of_pairs.shape).sum(dim=0))
        return of_qkv if wanted[0] else None, of_bias if wanted[1] else None, None


def _put_gradients(of_tokens: Tensor, segment: Tensor, weights: Tensor, of_seen: Tensor, of_logits: Tensor) -> None:
    """Write the gradients of a segment's tokens (B, L, 3, S, D), from those of what they saw and of the logits."""
    query, key, _ = segment
    of_query = torch.bmm(of_logits, key).mul_(of_tokens.shape[-1] ** -0.5)
    of_key = torch.bmm(of_logits.transpose(1, 2), query)
    of_value = torch.bmm(weights.transpose(1, 2), of_seen)
    for place, part in zip(of_tokens.unbind(2), (of_query, of_key, of_value), strict=True):
        place.transpose(1, 2).copy_(part.unflatten(0, (-1, of_tokens.shape[3])))


def _cut_pairs(bias: Tensor, segments: tuple[int, ...]) -> tuple[Tensor, ...]:
    """Cut what stands for each pair of tokens into the segments: (S, sum of L * L) -> (S, L * L) each."""
    return bias.split([length**2 for length in segments], dim=1)


class AttendOwn(torch.autograd.Function):
    """Attention whose logits are computed once, in float32 or more, to choose by and to attend by.

    `narrow` sets to -inf what a query is not to see. The weights there are 0, and so are the logits' gradients.
    """

    @staticmethod
    def forward(query: Tensor, key: Tensor, value: Tensor, narrow: Callable[[Tensor], None]) -> tuple[Tensor, Tensor]:
        """Attend: query, key, value (B, S, T, D) -> (B, S, T, D), and the weights."""
        with without_autocast(query):
            wide = torch.promote_types(query.dtype, torch.float32)
            logits = (query.to(wide) * query.shape[-1] ** -0.5) @ key.to(wide).transpose(-1, -2)
            narrow(logits)
            weights = torch.softmax(logits, dim=-1, out=logits).to(value.dtype)
            return weights @ value, weights

    @staticmethod
    def setup_context(
        ctx: FunctionCtx, inputs: tuple[Tensor, Tensor, Tensor, object], output: tuple[Tensor, Tensor]
    ) -> None:
        """Keep what went in, and the weights."""
        ctx.mark_non_differentiable(output[1])
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*inputs[:3], output[1])

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor | None, of_weights: None) -> tuple[Tensor | None, ...]:
        """Return the gradients of query, key and value."""
        if grad is None:
            return None, None, None, None
        query, key, value, weights = ctx.saved_tensors
        scale = query.shape[-1] ** -0.5
        with without_autocast(grad):
            of_weights = grad @ value.transpose(-1, -2)
            of_logits = torch.ops.aten._softmax_backward_data(of_weights, weights, -1, weights.dtype)
            of_query = (of_logits @ key).mul_(scale)
            of_key = (of_logits.transpose(-1, -2) @ query).mul_(scale)
            return of_query, of_key, weights.transpose(-1, -2) @ grad, None
