"""Attention among tokens that are sorted by the image they belong to: what a map would mask is never computed.

A run is a number of such tokens, one beside the other.

Letters: B images, N sorted tokens, S heads, D channels of a head, C = S * D, L tokens of a segment.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from mixmae_mm.models.utils.autocast import without_autocast


def prefers_runs(x: Tensor, training: bool) -> bool:
    """Return whether to sort tokens for `attend_segments`: in training on a CPU, where it takes half the time.

    Elsewhere many small products, whose sizes change with each assignment, would not pay; nor do they compile well.
    """
    return training and torch.is_grad_enabled() and x.device.type == 'cpu' and not torch.compiler.is_compiling()


def attend_segments(qkv: Tensor, num_heads: int, bias: Tensor, segments: Sequence[int]) -> Tensor:
    """Softmax attention of each token to those of its run: projected tokens (B, N, 3 * C) -> (B, N, C).

    What `attention.attend` does with a map that masks all others. Its gradients have no derivatives of their own.

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
            query, key, value = run = copy.flatten(1, 2)
            query.mul_(qkv.shape[-1] ** -0.5)
            logits = torch.bmm(query, key.transpose(1, 2))
            logits.unflatten(0, (-1, len(bias))).add_(of_pairs.unflatten(1, logits.shape[1:]))
            weights = logits.softmax(dim=-1)
            _by_heads(seen).copy_(torch.bmm(weights, value).unflatten(0, (-1, len(bias))))
            kept += [run, weights]
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
        with without_autocast(grad):
            return *_gradients(grad, ctx.saved_tensors, ctx.segments, ctx.of_bias, ctx.needs_input_grad), None


def _gradients(
    grad: Tensor,
    kept: Sequence[Tensor],
    segments: tuple[int, ...],
    bias: tuple[torch.Size, torch.dtype],
    wanted: Sequence[bool],
) -> tuple[Tensor | None, Tensor | None]:
    """Return the gradients of projected tokens, and of a bias of this shape and type, from what each segment has kept.

    `wanted` tells which of the two are asked for.
    """
    of_qkv, of_bias = grad.new_empty(*grad.shape[:2], 3, *grad.shape[2:]), grad.new_empty(bias[0], dtype=bias[1])
    each = kept[::2], kept[1::2], grad.split(segments, 1), of_qkv.split(segments, 1), _cut_pairs(of_bias, segments)
    for run, weights, seen, of_tokens, of_pairs in zip(*each, strict=True):
        of_seen = _by_heads(seen).flatten(0, 1)
        of_weights = torch.bmm(of_seen, run[2].transpose(1, 2))
        of_logits = torch.ops.aten._softmax_backward_data(of_weights, weights, -1, weights.dtype)
        if wanted[0]:
            _put_gradients(of_tokens, run, weights, of_seen, of_logits)
        if wanted[1]:
            of_pairs.copy_(of_logits.view(-1, *of_pairs.shape).sum(dim=0))
    return of_qkv if wanted[0] else None, of_bias if wanted[1] else None


def _put_gradients(of_tokens: Tensor, run: Tensor, weights: Tensor, of_seen: Tensor, of_logits: Tensor) -> None:
    """Write the gradients of a segment's tokens (B, L, 3, S, D), from those of what they saw and of the logits."""
    query, key, _ = run
    of_query = torch.bmm(of_logits, key).mul_(of_tokens.shape[-1] ** -0.5)
    of_key = torch.bmm(of_logits.transpose(1, 2), query)
    of_value = torch.bmm(weights.transpose(1, 2), of_seen)
    for place, part in zip(of_tokens.unbind(2), (of_query, of_key, of_value), strict=True):
        _by_heads(place).copy_(part.unflatten(0, (-1, of_tokens.shape[3])))


def _cut_pairs(bias: Tensor, segments: tuple[int, ...]) -> tuple[Tensor, ...]:
    """Cut what stands for each pair of tokens into the segments: (S, sum of L * L) -> (S, L * L) each."""
    return bias.split([length**2 for length in segments], dim=1)


def _by_heads(x: Tensor) -> Tensor:
    """See tokens head by head: (B, L, S, D) -> (B, S, L, D)."""
    return x.transpose(1, 2)
