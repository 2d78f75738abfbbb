"""Attention with a bias and a mask of the keys to keep, for windows and for plain sequences.

Letters: B images, W windows in each, S heads, T tokens in a window, D channels of a head, C = S * D.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def attend(query: Tensor, key: Tensor, value: Tensor, bias: Tensor, keep: Tensor | None = None) -> Tensor:
    """Compute softmax attention in windows: query, key, value (B, W, S, T, D) -> (B, W, S, T, D).

    `bias` (S, T, T) is added to the logits of every window. `keep` is True where a query (rows) keeps a key
    (columns), bool (B or 1, W, S or 1, T, T); None keeps all. Every query must keep a key.
    """
    masked_bias = bias.to(query.dtype)
    if keep is not None:
        masked_bias = masked_bias.masked_fill(~keep, float('-inf'))
    return (_fused if prefers_fused(query, masked_bias) else _explicit)(query, key, value, masked_bias)


def attend_sequence(query: Tensor, key: Tensor, value: Tensor, keep: Tensor | None = None) -> Tensor:
    """Compute softmax attention over plain sequences: query, key, value (B, S, T, D) -> (B, S, T, D).

    `keep` is True where a query (rows) keeps a key (columns), bool, broadcastable to (B, S, T, T); None keeps all.
    """
    bias = None if keep is None else torch.zeros_like(keep, dtype=query.dtype).masked_fill_(~keep, float('-inf'))
    if prefers_fused(query, bias):
        return F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
    return _explicit(query, key, value, bias)


def prefers_fused(query: Tensor, bias: Tensor | None) -> bool:
    """Return whether to use PyTorch's fused attention rather than explicit logits.

    In training on a CPU, the fused kernel is slower in half precision and if the bias needs a gradient
    (docs/performance.md). Exported programs compute explicit logits, because the memory layout of the fused kernel's
    result differs between machines; older versions of PyTorch cannot detect that they are exporting.
    """
    if getattr(torch.compiler, 'is_exporting', lambda: False)():
        return False
    if query.device.type != 'cpu' or not torch.is_grad_enabled():
        return True
    return query.dtype == torch.float32 and not (bias is not None and bias.requires_grad)


def _explicit(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None) -> Tensor:
    """Attend with explicit logits: query, key, value (..., S, T, D), and a bias that broadcasts to the logits."""
    logits = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)
    if bias is not None:
        logits += bias
    return logits.softmax(dim=-1) @ value


def _fused(query: Tensor, key: Tensor, value: Tensor, masked_bias: Tensor) -> Tensor:
    """Attend with PyTorch's kernels, which take one batch dimension and one head dimension."""
    if masked_bias.ndim == 3:
        windows = [x.flatten(0, 1) for x in (query, key, value)]
        mixed = F.scaled_dot_product_attention(*windows, attn_mask=masked_bias[None])
        return mixed.unflatten(0, query.shape[:2])
    heads = [x.flatten(1, 2) for x in (query, key, value)]
    mixed = F.scaled_dot_product_attention(*heads, attn_mask=masked_bias.flatten(1, 2))
    return mixed.unflatten(1, query.shape[1:3])


class KeySelection:
    """A rule that selects the keys that each query of a plain sequence keeps."""

    def __call__(self, query: Tensor, key: Tensor) -> Tensor:
        """Choose the keys of each query: query and key (B, S, T, D) -> bool, broadcastable to (B, S, T, T)."""
        raise NotImplementedError

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Attend to the kept keys: query, key, value (B, S, T, D) -> (B, S, T, D)."""
        return attend_sequence(query, key, value, self(query, key))


class FixedKeys(KeySelection):
    """A rule that keeps the same keys whatever the tokens: `keep` is bool (B or 1, S or 1, T or 1, T)."""

    def __init__(self, keep: Tensor) -> None:
        self.keep = keep

    def __call__(self, query: Tensor, key: Tensor) -> Tensor:
        """Return the mask."""
        return self.keep


class Attention(nn.Module):
    """Plain multi-head self-attention over a sequence, with the parameter names of timm and MAE."""

    def __init__(self, dims: int, num_heads: int) -> None:
        super().__init__()
        check_heads(dims, num_heads)
        self.num_heads = num_heads
        self.qkv = nn.Linear(dims, 3 * dims)
        self.proj = nn.Linear(dims, dims)

    def forward(self, x: Tensor, select: KeySelection | None = None) -> Tensor:
        """Attend to all keys, or to those that `select` keeps: (B, N, C) -> (B, N, C)."""
        attend = attend_sequence if select is None else select.attend
        return self.proj(merge_heads(attend(*split_heads(self.qkv(x), self.num_heads))))


def split_heads(qkv: Tensor, num_heads: int) -> tuple[Tensor, ...]:
    """Split projected tokens into query, key and value: (..., T, 3 * C) -> three of (..., S, T, D)."""
    return qkv.unflatten(-1, (3, num_heads, -1)).movedim(-3, 0).transpose(-3, -2).unbind(0)


def merge_heads(x: Tensor) -> Tensor:
    """Concatenate the heads: (..., S, T, D) -> (..., T, C)."""
    return x.transpose(-3, -2).flatten(-2)


def check_heads(dims: int, num_heads: int) -> None:
    """Check that the channels can be split among the heads."""
    if num_heads < 1 or dims % num_heads:
        raise ValueError(f'{dims} channels cannot be split among {num_heads} heads: make one a multiple of the other')
