"""Homologous attention: queries keep the keys that they guess to be from their own image (MixedAE, arXiv 2303.17152).

Letters: B mixtures, W windows, S heads, T tokens, N patches among them, D channels of a head.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from mixmae_mm.models.utils.attention import KeySelection
from mixmae_mm.models.utils.autocast import without_autocast
from mixmae_mm.models.utils.cpu_kernels import Logits, runs_plainly
from mixmae_mm.models.utils.padding import PADDING


def top_keys(logits: Tensor, num_keys: int) -> Tensor:
    """Mark the `num_keys` largest entries of each row, exactly that many even with ties: (..., N) -> bool (..., N)."""
    best = logits.topk(num_keys, dim=-1, sorted=False).indices
    return torch.zeros_like(logits, dtype=torch.bool).scatter_(-1, best, True)


class TopKeys(KeySelection):
    """A rule by which each query keeps the share `ratio` of patch keys with the largest logits.

    Keys are chosen in float32 and without gradients. The first `extra` tokens (CLS) are never dropped, never counted,
    and keep all keys. `same` marks pairs of patches that do share an image, bool (B or 1, T, T), for `precision`.
    """

    def __init__(self, ratio: float, extra: int, same: Tensor | None = None) -> None:
        self.ratio, self.extra, self.same = ratio, extra, same
        self.precision: Tensor | None = None
        """Share of the keys kept in the last call that came from the query's own image."""

    def __call__(self, query: Tensor, key: Tensor) -> Tensor:
        """Choose keys: query and key (B, S, T, D) -> bool (B, S, T, T)."""
        with torch.no_grad(), without_autocast(query):
            query, key = (x[..., self.extra :, :].detach().float() for x in (query, key))
            logits = query @ key.transpose(-1, -2)
        kept = F.pad(top_keys(logits, self._num_keys(key.shape[-2])), (self.extra, 0, self.extra, 0), value=True)
        self._measure(kept)
        return kept

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Attend to the chosen keys: query, key, value (B, S, T, D) -> (B, S, T, D).

        On a CPU, the logits are computed once for both the choice and the attention.
        """
        if not runs_plainly(query):
            return super().attend(query, key, value)
        with without_autocast(query):
            wide = torch.promote_types(query.dtype, torch.float32)
            logits = Logits.apply(query.to(wide), key.to(wide), query.shape[-1] ** -0.5)
            return (logits + self._bias(logits.detach())).softmax(dim=-1).to(value.dtype) @ value

    def _bias(self, logits: Tensor) -> Tensor:
        """Return a bias that masks dropped keys and shifts the smallest kept logit of each row to 0: (B, S, T, T)."""
        patches = logits[..., self.extra :, self.extra :]
        best = patches.topk(self._num_keys(patches.shape[-1]), dim=-1, sorted=False)
        shift = -best.values.amin(dim=-1, keepdim=True).nan_to_num_(0.0, 0.0, 0.0)  # NaN and infinity cause no shift
        bias = torch.zeros_like(logits)
        bias[..., self.extra :, : self.extra] = shift
        masked = torch.full_like(patches, float('-inf'))
        bias[..., self.extra :, self.extra :] = masked.scatter_(-1, best.indices, shift.expand_as(best.indices))
        self._measure(bias > float('-inf'))
        return bias

    def _num_keys(self, num_patches: int) -> int:
        """Return how many keys each query keeps."""
        return max(1, round(self.ratio * num_patches))

    def _measure(self, kept: Tensor) -> None:
        """Record the share of kept keys (B, S, T, T) that come from the query's image."""
        if self.same is not None:
            num_patches = kept.shape[-1] - self.extra
            number = kept.shape[0] * kept.shape[1] * num_patches * self._num_keys(num_patches)
            self.precision = torch.count_nonzero(kept & self.same[:, None]) / number


def guess_keys(query: Tensor, key: Tensor, bias: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Choose keys in windows: each query keeps those with the largest logits, as many as its image has there.

    Args:
        query: Queries (B, W, S, T, D); `key` has the same shape.
        bias: Added to the logits, (S, T, T).
        labels: The image of each token, int64 (B or 1, W, T). Tokens of `PADDING` keep exactly one another.

    Returns:
        The choice, bool (B, W, S, T, T), and the share of kept keys that come from the query's image, a scalar.
    """
    real = labels != PADDING
    same, candidates = ((x[..., None] == x[:, :, None])[:, :, None] for x in (labels, real))
    with torch.no_grad(), without_autocast(query):
        query, key = query.detach().float() * query.shape[-1] ** -0.5, key.detach().float()
        logits = (query @ key.transpose(-1, -2) + bias.detach().float()).masked_fill_(~candidates, float('-inf'))
        order = logits.argsort(dim=-1, descending=True)
    enough = torch.arange(order.shape[-1], device=order.device) < same.sum(dim=-1, keepdim=True)
    kept = torch.zeros_like(logits, dtype=torch.bool).scatter_(-1, order, enough.expand_as(order))
    counted = kept & real[:, :, None, :, None]
    return kept, torch.count_nonzero(counted & same) / torch.count_nonzero(counted).clamp(min=1)
