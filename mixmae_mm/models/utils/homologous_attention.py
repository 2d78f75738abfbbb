"""Homologous attention: each query keeps the keys that it guesses to be of its own image (MixedAE, arXiv 2303.17152).

Letters: B mixtures, S heads, T tokens, N patches among them, D channels of a head.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from mixmae_mm.models.utils.attention import Select
from mixmae_mm.models.utils.autocast import without_autocast
from mixmae_mm.models.utils.cpu_kernels import AttendOwn, runs_plainly


def top_keys(logits: Tensor, num_keys: int) -> Tensor:
    """Mark the largest entries of each row, exactly `num_keys` even where some are equal: (..., N) -> bool (..., N)."""
    best = logits.topk(num_keys, dim=-1, sorted=False).indices
    return torch.zeros_like(logits, dtype=torch.bool).scatter_(-1, best, True)


class TopKeys(Select):
    """Let each query keep the keys that fit it best.

    Each head and query choose on their own, by logits in float32. No gradient flows through the choice.

    Args:
        ratio: How many patch keys are kept, over the number of patches; rounded, at least one.
        extra: Tokens at the front that are no patches (CLS): never dropped, never counted, and they see everything.
        same: Which tokens are patches that really share an image, bool (B or 1, T, T), to measure the guess by; it
            decides nothing.
    """

    def __init__(self, ratio: float, extra: int, same: Tensor | None = None) -> None:
        self.ratio, self.extra, self.same = ratio, extra, same
        self.precision: Tensor | None = None
        """Share of the keys kept in the last call that were of the query's own image."""

    def __call__(self, query: Tensor, key: Tensor) -> Tensor:
        """Choose keys: query and key (B, S, T, D) -> bool (B, S, T, T)."""
        with torch.no_grad(), without_autocast(query):
            query, key = (x[..., self.extra :, :].detach().float() for x in (query, key))
            logits = query @ key.transpose(-1, -2)
        kept = F.pad(top_keys(logits, self._num_keys(key.shape[-2])), (self.extra, 0, self.extra, 0), value=True)
        self._measure(kept)
        return kept

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Attend to the chosen keys: query, key, value (B, S, T, D) -> (B, S, T, D)."""
        if runs_plainly(query) and query.dtype != torch.float64:
            return AttendOwn.apply(query, key, value, self._narrow)[0]
        return super().attend(query, key, value)

    def _narrow(self, logits: Tensor) -> None:
        """Set what is not kept to -inf, in place (B, S, T, T), and shift rows until the least that they keep is 0."""
        patches = logits[..., self.extra :, self.extra :]
        best = patches.topk(self._num_keys(patches.shape[-1]), dim=-1, sorted=False)
        dropped = torch.full_like(patches, float('-inf')).scatter_(-1, best.indices, 0.0)
        least = best.values.amin(dim=-1, keepdim=True)
        logits[..., self.extra :, :] -= least.nan_to_num_(0.0, 0.0, 0.0)  # what is not finite shifts nothing
        patches += dropped
        self._measure(logits >= 0)

    def _num_keys(self, num_patches: int) -> int:
        """Count the keys that each query keeps."""
        return max(1, round(self.ratio * num_patches))

    def _measure(self, kept: Tensor) -> None:
        """Note what share of the kept keys (B, S, T, T) is right."""
        if self.same is not None:
            num_patches = kept.shape[-1] - self.extra
            number = kept.shape[0] * kept.shape[1] * num_patches * self._num_keys(num_patches)
            self.precision = torch.count_nonzero(kept & self.same[:, None]) / number
