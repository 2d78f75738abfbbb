"""Homologous attention: which keys a query keeps, guessed by the attention itself or told (MixedAE, arXiv 2303.17152).

A rule is made for one forward pass and called by every `Attention` that it is given to (`attention.Select`).

Letters: B mixtures, S heads, T tokens, N patches among them, D channels of a head.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn import functional as F

from mixmae_mm.models.utils.attention import Select, Told
from mixmae_mm.models.utils.autocast import without_autocast

SMALLEST = torch.finfo(torch.float32).tiny


def top_keys(logits: Tensor, num_keys: int) -> Tensor:
    """Mark the largest entries of each row, exactly `num_keys` even where some are equal: (..., N) -> bool (..., N)."""
    if not _is_plain_cpu(logits):
        return _by_index(logits, num_keys)
    logits = logits.detach()
    weakest, unclear = _weakest_kept(logits, num_keys)
    kept = logits >= weakest
    if unclear is not None:
        kept[unclear] = _by_index(logits[unclear], num_keys)
    return kept


def _is_plain_cpu(x: Tensor) -> bool:
    """Return whether NumPy may compute here: on the CPU, and nobody is recording PyTorch's operations."""
    return x.device.type == 'cpu' and not (torch.compiler.is_compiling() or torch.jit.is_tracing())


def _by_index(logits: Tensor, num_keys: int) -> Tensor:
    """Mark the entries that PyTorch's own selection names."""
    best = logits.topk(num_keys, dim=-1, sorted=False).indices
    return torch.zeros_like(logits, dtype=torch.bool).scatter_(-1, best, True)


def _weakest_kept(logits: Tensor, num_keys: int) -> tuple[Tensor, Tensor | None]:
    """Find the smallest entry of each row that is kept: (..., N) -> (..., 1).

    Also tells the rows, bool (...), that it does not part clearly into `num_keys` and the rest, None if there are none:
    those with ties, without a finite number there, or with a difference near nothing. NumPy's vectorised sort of the
    values alone takes a third of the time of PyTorch's selection of indices on a CPU (docs/performance.md).
    """
    ordered = np.sort(logits.numpy(), axis=-1)  # NaN comes last
    rank = logits.shape[-1] - num_keys
    weakest = ordered[..., rank].copy()
    with np.errstate(invalid='ignore', over='ignore'):
        clear = np.isfinite(weakest) & ~np.isnan(ordered[..., -1])
        if rank:
            clear &= weakest - ordered[..., rank - 1] > SMALLEST
    return torch.from_numpy(weakest)[..., None], None if clear.all() else torch.from_numpy(~clear)


def _drop_others(logits: Tensor, num_keys: int) -> None:
    """Set all but the `num_keys` largest patches of each row to -inf, in place: (B, S, N, extra + N), extra first.

    The rows are shifted until the weakest that they keep is 0, which a softmax does not see: two passes that PyTorch
    vectorises, where filling by a mask takes ten times as long.
    """
    patches = logits[..., logits.shape[-1] - logits.shape[-2] :]
    weakest, unclear = _weakest_kept(patches, num_keys)
    weakest = weakest.nan_to_num_(0.0, 0.0, 0.0)  # what is not finite shifts nothing
    rows = None if unclear is None else patches[unclear]
    logits.sub_(weakest)
    F.threshold_(patches, -SMALLEST, float('-inf'))
    if rows is not None:
        patches[unclear] = (rows - weakest[unclear]).masked_fill_(~_by_index(rows, num_keys), float('-inf'))


class _AttendOwn(torch.autograd.Function):
    """Attention whose logits are computed once, in float32 or more, to choose by and to attend by.

    `narrow` sets to -inf what a query is not to see. The weights there are 0, and so are the logits' gradients.
    """

    @staticmethod
    def forward(
        query: Tensor, key: Tensor, value: Tensor, narrow: Callable[[Tensor], None]
    ) -> tuple[Tensor, Tensor]:
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
        """Return the gradients of query, key and value, of those that want one."""
        if grad is None:
            return None, None, None, None
        (query, key, value, weights), wanted = ctx.saved_tensors, ctx.needs_input_grad
        scale, of_query, of_key = query.shape[-1] ** -0.5, None, None
        with without_autocast(grad):
            if wanted[0] or wanted[1]:
                of_weights = grad @ value.transpose(-1, -2)
                of_logits = torch.ops.aten._softmax_backward_data(of_weights, weights, -1, weights.dtype)
                of_query = (of_logits @ key).mul_(scale) if wanted[0] else None
                of_key = (of_logits.transpose(-1, -2) @ query).mul_(scale) if wanted[1] else None
            return of_query, of_key, weights.transpose(-1, -2) @ grad if wanted[2] else None, None


class TopKeys(Select):
    """Let each query keep the keys that fit it best: its guess at the patches of its own image.

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
        if self.same is not None:
            self._measure(torch.count_nonzero(kept & self.same[:, None]), kept.shape)
        return kept

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Attend to the chosen keys: query, key, value (B, S, T, D) -> (B, S, T, D)."""
        if _is_plain_cpu(query) and query.dtype in (torch.float32, torch.bfloat16, torch.float16):
            return _AttendOwn.apply(query, key, value, self._narrow)[0]
        return super().attend(query, key, value)

    def _narrow(self, logits: Tensor) -> None:
        """Set what is not kept to -inf, in place: (B, S, T, T)."""
        _drop_others(logits[..., self.extra :, :], self._num_keys(logits.shape[-1] - self.extra))
        if self.same is not None:
            right = np.count_nonzero((logits.numpy() >= 0) & self.same[:, None].numpy())
            self._measure(right, logits.shape)

    def _num_keys(self, num_patches: int) -> int:
        """Count the keys that each query keeps."""
        return max(1, round(self.ratio * num_patches))

    def _measure(self, right: Tensor | int, shape: Sequence[int]) -> None:
        """Note what share of the kept keys is right, of logits (B, S, T, T)."""
        num_patches = shape[-1] - self.extra
        self.precision = torch.as_tensor(right) / (shape[0] * shape[1] * num_patches * self._num_keys(num_patches))


class TrueKeys(Told):
    """Let each query keep exactly the patches of its own image, as told by the assignment: a control, not the method.

    Args:
        same: Which patches share an image, bool (B or 1, N, N).
        extra: Tokens at the front that are no patches: seen by all, and seeing all.
    """

    def __init__(self, same: Tensor, extra: int) -> None:
        super().__init__(F.pad(same, (extra, 0, extra, 0), value=True)[:, None])
