"""Homologous attention: which keys a query keeps, guessed by the attention itself or told (MixedAE, arXiv 2303.17152).

A rule is made for one forward pass and called by every `Attention` that it is given to (`attention.Select`).

Letters: B mixtures, S heads, T tokens, N patches among them, D channels of a head.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F


def top_keys(logits: Tensor, num_keys: int) -> Tensor:
    """Mark the largest entries of each row, exactly `num_keys` even where some are equal: (..., N) -> bool (..., N)."""
    traced = torch.compiler.is_compiling() or torch.jit.is_tracing()
    kept = _by_threshold(logits, num_keys) if logits.device.type == 'cpu' and not traced else None
    return _by_index(logits, num_keys) if kept is None else kept


def _by_index(logits: Tensor, num_keys: int) -> Tensor:
    """Mark the entries that PyTorch's own selection names."""
    best = logits.topk(num_keys, dim=-1, sorted=False).indices
    return torch.zeros_like(logits, dtype=torch.bool).scatter_(-1, best, True)


def _by_threshold(logits: Tensor, num_keys: int) -> Tensor | None:
    """Mark the entries that reach the row's `num_keys`-th largest; None if ties (or NaN) make that another number.

    On the CPU NumPy's vectorised sort of the values alone is 4 to 8 times as fast as PyTorch's selection of indices
    (docs/performance.md).
    """
    values = logits.detach().numpy()
    rank = values.shape[-1] - num_keys
    kept = values >= np.sort(values, axis=-1)[..., rank : rank + 1]
    return torch.from_numpy(kept) if np.count_nonzero(kept) == kept.size // kept.shape[-1] * num_keys else None


class TopKeys:
    """Let each query keep the keys that fit it best: its guess at the patches of its own image.

    Each head and query choose on their own, by logits in float32. No gradient flows through the choice.

    Args:
        ratio: How many patch keys are kept, over the number of patches; rounded, at least one.
        extra: Tokens at the front that are no patches (CLS): never dropped, never counted, and they see everything.
        same: Which patches really share an image, bool (B or 1, N, N), to measure the guess by; it decides nothing.
    """

    def __init__(self, ratio: float, extra: int, same: Tensor | None = None) -> None:
        self.ratio, self.extra, self.same = ratio, extra, same
        self.precision: Tensor | None = None
        """Share of the keys kept in the last call that were of the query's own image."""

    def __call__(self, query: Tensor, key: Tensor) -> Tensor:
        """Choose keys: query and key (B, S, T, D) -> bool (B, S, T, T)."""
        with torch.no_grad(), torch.autocast(query.device.type, enabled=False):
            query, key = (x[..., self.extra :, :].detach().float() for x in (query, key))
            logits = query @ key.transpose(-1, -2)
        num_keys = max(1, round(self.ratio * key.shape[-2]))
        kept = top_keys(logits, num_keys)
        if self.same is not None:
            found = torch.count_nonzero(kept & self.same[:, None])
            self.precision = found / (kept.numel() / kept.shape[-1] * num_keys)
        return F.pad(kept, (self.extra, 0, self.extra, 0), value=True)


class TrueKeys:
    """Let each query keep exactly the patches of its own image, as told by the assignment: a control, not the method.

    Args:
        same: Which patches share an image, bool (B or 1, N, N).
        extra: Tokens at the front that are no patches: seen by all, and seeing all.
    """

    def __init__(self, same: Tensor, extra: int) -> None:
        self.keep = F.pad(same, (extra, 0, extra, 0), value=True)[:, None]

    def __call__(self, query: Tensor, key: Tensor) -> Tensor:
        """Answer with what was told: bool (B or 1, 1, T, T)."""
        return self.keep
