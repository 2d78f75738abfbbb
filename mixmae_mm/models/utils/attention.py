"""Attention with a bias and a map of which keys to keep, for windows and for plain sequences.

Letters: B images, W windows in each, S heads, T tokens in a window, D channels of a head, C = S * D.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def attend(query: Tensor, key: Tensor, value: Tensor, bias: Tensor, keep: Tensor | None = None) -> Tensor:
    """Softmax attention in windows: query, key, value (B, W, S, T, D) -> (B, W, S, T, D).

    Args:
        query: What looks.
        key: What is looked at.
        value: What is taken along.
        bias: Added to the logits of every window, (S, T, T).
        keep: True where a query (rows) may see a key (columns), bool (B or 1, W, T, T); None keeps all. With a first
            dimension of 1 it is broadcast over the images, never repeated. Every query must keep a key.
    """
    joined = bias.to(query.dtype)
    if keep is not None:
        joined = joined.masked_fill(~keep[:, :, None], float('-inf'))
    return (_fused if prefers_fused(query, joined) else _explicit)(query, key, value, joined)


def prefers_fused(query: Tensor, joined: Tensor) -> bool:
    """Return which kernel to take: PyTorch's fused attention, or the three steps written out.

    On the CPU the fused kernel is slower when the bias needs a gradient and faster otherwise (docs/performance.md).
    On a GPU it keeps the logits out of memory; that choice is not measured yet.
    Exported programs have it written out, since how the fused kernel lays its result out is the machine's own.
    """
    if is_exported():
        return False
    return query.device.type != 'cpu' or not (torch.is_grad_enabled() and joined.requires_grad)


def is_exported() -> bool:
    """Return whether a program for other machines is being traced; older versions of PyTorch cannot tell."""
    return getattr(torch.compiler, 'is_exporting', lambda: False)()


def _explicit(query: Tensor, key: Tensor, value: Tensor, joined: Tensor) -> Tensor:
    """Write the logits out: query, key, value (..., S, T, D), and `joined` (S, T, T) or (B or 1, W, S, T, T)."""
    logits = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)
    logits += joined
    return logits.softmax(dim=-1) @ value


def _fused(query: Tensor, key: Tensor, value: Tensor, joined: Tensor) -> Tensor:
    """Use PyTorch's kernels, which want one batch and one head dimension."""
    if joined.ndim == 3:
        windows = [x.flatten(0, 1) for x in (query, key, value)]
        mixed = F.scaled_dot_product_attention(*windows, attn_mask=joined[None])
        return mixed.unflatten(0, query.shape[:2])
    heads = [x.flatten(1, 2) for x in (query, key, value)]
    mixed = F.scaled_dot_product_attention(*heads, attn_mask=joined.flatten(1, 2))
    return mixed.unflatten(1, query.shape[1:3])


def attend_sequence(query: Tensor, key: Tensor, value: Tensor, keep: Tensor | None = None) -> Tensor:
    """Softmax attention over plain sequences: query, key, value (B, S, T, D) -> (B, S, T, D).

    PyTorch's fused attention, but for exported programs, and for training on a CPU in half precision: there the three
    steps written out take about half its time (docs/performance.md). Both compute the softmax in float32.

    Args:
        query: What looks.
        key: What is looked at.
        value: What is taken along.
        keep: True where a query (rows) may see a key (columns), bool (B, S or 1, T, T); None keeps all.
    """
    bias = None if keep is None else _as_bias(keep, query.dtype)
    if not is_exported() and (
        query.device.type != 'cpu' or query.dtype == torch.float32 or not torch.is_grad_enabled()
    ):
        return F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
    logits = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)
    if bias is not None:
        logits += bias
    return logits.softmax(dim=-1) @ value


def _as_bias(keep: Tensor, dtype: torch.dtype) -> Tensor:
    """Return 0 for True and -inf for False.

    In float32 and bfloat16 by their bits, a quarter of the time of filling by a mask on a CPU: -inf is -1 shifted to
    the left by as many bits as the fraction has.
    """
    as_integer, fraction = {torch.float32: (torch.int32, 23), torch.bfloat16: (torch.int16, 7)}.get(dtype, (None, 0))
    if as_integer is None:
        return torch.zeros_like(keep, dtype=dtype).masked_fill_(~keep, float('-inf'))
    return keep.to(as_integer).sub_(1).mul_(2**fraction).view(dtype)


class Select:
    """A rule of which keys each query of a plain sequence keeps. Subclasses say which, and may know a faster way."""

    def __call__(self, query: Tensor, key: Tensor) -> Tensor:
        """Choose the keys of each query: query and key (B, S, T, D) -> what is kept, bool (B, S, T, T).

        All but the last may be 1: the same for all.
        """
        raise NotImplementedError

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Attend to what is kept: query, key, value (B, S, T, D) -> (B, S, T, D)."""
        return attend_sequence(query, key, value, self(query, key))


class Told(Select):
    """Keep what was told beforehand.

    Args:
        keep: bool (B or 1, S or 1, T or 1, T).
    """

    def __init__(self, keep: Tensor) -> None:
        self.keep = keep

    def __call__(self, query: Tensor, key: Tensor) -> Tensor:
        """Answer with what was told."""
        return self.keep


class Attention(nn.Module):
    """Plain multi-head self-attention over a sequence, with the parameter names of timm and MAE.

    Raises:
        ValueError: the channels cannot be split among the heads.
    """

    def __init__(self, dims: int, num_heads: int) -> None:
        super().__init__()
        check_heads(dims, num_heads)
        self.num_heads = num_heads
        self.qkv = nn.Linear(dims, 3 * dims)
        self.proj = nn.Linear(dims, dims)

    def forward(self, x: Tensor, select: Select | None = None) -> Tensor:
        """Let tokens see each other, all or those that `select` keeps: (B, N, C) -> (B, N, C)."""
        attend = attend_sequence if select is None else select.attend
        return self.proj(merge_heads(attend(*split_heads(self.qkv(x), self.num_heads))))


def split_heads(qkv: Tensor, num_heads: int) -> tuple[Tensor, ...]:
    """Cut projected tokens into query, key and value: (..., T, 3 * C) -> three of (..., S, T, D)."""
    return qkv.unflatten(-1, (3, num_heads, -1)).movedim(-3, 0).transpose(-3, -2).unbind(0)


def merge_heads(x: Tensor) -> Tensor:
    """Put heads side by side again: (..., S, T, D) -> (..., T, C)."""
    return x.transpose(-3, -2).flatten(-2)


def check_heads(dims: int, num_heads: int) -> None:
    """Refuse channels that the heads cannot share.

    Raises:
        ValueError: `dims` is no multiple of `num_heads`.
    """
    if dims % num_heads:
        raise ValueError(f'{dims} channels cannot be split among {num_heads} heads: make one a multiple of the other')
