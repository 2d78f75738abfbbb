"""Other ways to compute the shipped attention, patched in by `gpu.py`, which compares and times them.

Each is a function that takes a model and returns a context, in which the model computes the same in another way. None
is part of the package; `tests/test_tools/test_gpu_benchmark.py` compares values and gradients on a CPU.

Letters: B images, S heads, N tokens, L tokens of a segment (the tokens of one source in one window), C channels, D
channels of a head, W windows of T tokens.
"""

import functools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import groupby
from unittest import mock

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import flex_attention as flex

from mixmae_mm.engine.hooks.compile_backbone import compile_backbone
from mixmae_mm.models.backbones import mixmim_swin
from mixmae_mm.models.utils import attention, homologous_attention, swin_layers
from mixmae_mm.models.utils.attention import merge_heads, split_heads
from mixmae_mm.models.utils.autocast import without_autocast
from mixmae_mm.models.utils.cpu_kernels import SortedWindows, sort_windows
from mixmae_mm.structures import Size

try:
    import triton
    import triton.language as tl
except ImportError:  # builds of PyTorch for CPUs do not include it
    triton = None

Variant = Callable[[nn.Module], AbstractContextManager[None]]


@contextmanager
def patched(*changes: tuple[object, str, object]) -> Iterator[None]:
    """Set attributes of modules and classes, and restore them afterwards."""
    with ExitStack() as stack:
        for owner, name, value in changes:
            stack.enter_context(mock.patch.object(owner, name, value))
        yield


def as_on_gpu(model: nn.Module | None = None) -> AbstractContextManager[None]:
    """Use the code paths of a GPU on a CPU: masks, fused attention, and keys chosen by separately computed logits."""
    return patched(
        (homologous_attention, 'runs_plainly', lambda x: False),
        (mixmim_swin, 'prefers_segments', lambda x, assignment, training: False),
        (attention, 'prefers_fused', lambda query, bias: True),
    )


def explicit(model: nn.Module) -> AbstractContextManager[None]:
    """Compute attention in encoder and decoder with explicit logits, without the fused kernel."""
    return patched((attention, 'prefers_fused', lambda query, bias: False))


@contextmanager
def compiled(model: nn.Module, **options: object) -> Iterator[None]:
    """Compile the encoder; this is not undone afterwards."""
    compile_backbone(model.backbone, **options)
    yield


def sorts(x: Tensor, assignment: Tensor | None, training: bool) -> bool:
    """Return whether to sort windows by source: on any device, if all mixtures share an assignment."""
    return assignment is not None and len(assignment) == 1


def bucketed(model: nn.Module) -> AbstractContextManager[None]:
    """Sort the segments of a stage by length, and call the fused kernel once per length."""
    return patched(
        (mixmim_swin, 'prefers_segments', sorts),
        (swin_layers, 'sort_windows', bucket_windows),
        (swin_layers, 'attend_segments', attend_buckets),
    )


def bucket_windows(grid: Size, window: Size, labels: Tensor) -> SortedWindows:
    """Plan as `sort_windows` does, but with the segments of all windows sorted by length."""
    plan = sort_windows(grid, window, labels)
    ranks = sorted(range(len(plan.segments)), key=plan.segments.__getitem__)
    segments, squares = plan.segments, [length**2 for length in plan.segments]
    order, pairs = (
        torch.cat([parts[rank] for rank in ranks]) for parts in (plan.order.split(segments), plan.pairs.split(squares))
    )
    return replace(plan, order=order, inverse=order.argsort(), pairs=pairs, segments=tuple(sorted(segments)))


def attend_buckets(qkv: Tensor, num_heads: int, bias: Tensor, segments: tuple[int, ...]) -> Tensor:
    """Attend as `attend_segments` does, but to segments sorted by length: (B, N, 3 * C) -> (B, N, C)."""
    buckets = [(length, len(list(group))) for length, group in groupby(segments)]
    tokens = qkv.split([length * count for length, count in buckets], dim=1)
    biases = bias.to(qkv.dtype).split([length**2 * count for length, count in buckets], dim=1)
    outputs = []
    with without_autocast(qkv):
        for (length, count), of_tokens, of_pairs in zip(buckets, tokens, biases, strict=True):
            heads = split_heads(of_tokens.unflatten(1, (count, length)), num_heads)  # (B, count, S, L, D)
            mask = of_pairs.unflatten(1, (count, length, length)).transpose(0, 1).flatten(0, 1)[None]
            out = F.scaled_dot_product_attention(*(x.flatten(1, 2) for x in heads), attn_mask=mask)
            outputs.append(merge_heads(out.unflatten(1, (count, num_heads))).flatten(1, 2))
    return torch.cat(outputs, dim=1)


def flexible(model: nn.Module) -> AbstractContextManager[None]:
    """Sort windows by source, and let FlexAttention skip blocks in which no token attends to another."""
    # uncompiled, it can compute gradients on a CPU, but refuses to
    checks = [] if torch.cuda.is_available() else [(flex, '_validate_device', lambda *tensors: None)]
    return patched(
        (mixmim_swin, 'prefers_segments', sorts),
        (swin_layers, 'sort_windows', flex_windows),
        (swin_layers.WindowAttention, 'forward', flex_forward),
        *checks,
    )


@dataclass(frozen=True)
class FlexWindows(SortedWindows):
    """Sorted windows with what FlexAttention needs."""

    places: Tensor | None = None
    """Position of each sorted token in its window, int64 (N,); differences plus a constant are indices into the bias
    table."""
    blocks: flex.BlockMask | None = None


def flex_windows(grid: Size, window: Size, labels: Tensor) -> FlexWindows:
    """Plan as `sort_windows` does, and add which tokens attend to each other."""
    plan = sort_windows(grid, window, labels)
    rows, columns = plan.order // (grid[1] + plan.padding[1]), plan.order % (grid[1] + plan.padding[1])
    places = rows % plan.size[0] * (2 * window[1] - 1) + columns % plan.size[1]
    owners = torch.repeat_interleave(torch.tensor(plan.segments, device=labels.device))

    def same(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        """Return whether a query and a key belong to the same segment."""
        return owners[query] == owners[key]

    blocks = flex.create_block_mask(same, None, None, len(owners), len(owners), device=labels.device)
    return FlexWindows(**vars(plan), places=places, blocks=blocks)


def flex_forward(self: swin_layers.WindowAttention, x: Tensor, windows: FlexWindows) -> Tensor:
    """Attend within segments: (B, h, w, C) -> (B, h, w, C)."""
    table, places = self.relative_position_bias_table, windows.places
    middle = len(table) // 2

    def biased(score: Tensor, batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        """Add the bias of a query and a key."""
        return score + table[places[query] - places[key] + middle, head]

    x = windows.partition(x)
    heads = split_heads(self.qkv(x.flatten(1, 2)), self.num_heads)
    attend = flex_kernel() if x.is_cuda else flex.flex_attention
    out = merge_heads(attend(*heads, score_mod=biased, block_mask=windows.blocks)).view(x.shape)
    return windows.reverse(self.proj(out))


@functools.cache
def flex_kernel() -> Callable[..., Tensor]:
    """Compile FlexAttention, once for each shape."""
    torch._dynamo.config.recompile_limit = 64
    return torch.compile(flex.flex_attention, dynamic=False)


def by_threshold(model: nn.Module) -> AbstractContextManager[None]:
    """Choose the keys of homologous attention by bisection of a threshold instead of `topk`."""
    return patched((homologous_attention, 'top_keys', bisect_keys_fused if torch.cuda.is_available() else bisect_keys))


def bisect_keys(logits: Tensor, num_keys: int) -> Tensor:
    """Mark the largest float32 entries of each row as `top_keys` does: (..., N) -> bool (..., N).

    Floats are compared as integers in the same order, so that 32 steps find the exact threshold.
    """
    bits = logits.contiguous().view(torch.int32)
    keys = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    low, high = keys.amin(dim=-1, keepdim=True), keys.amax(dim=-1, keepdim=True)
    for _ in range(32):
        middle = (low | high) - ((low ^ high) >> 1)  # their mean, rounded up, without overflow
        enough = (keys >= middle).sum(dim=-1, keepdim=True) >= num_keys
        low, high = torch.where(enough, middle, low), torch.where(enough, high, middle - 1)
    above, equal = keys > low, keys == low
    return above | (equal & (equal.cumsum(dim=-1) <= num_keys - above.sum(dim=-1, keepdim=True)))


def bisect_keys_fused(logits: Tensor, num_keys: int) -> Tensor:
    """Do the same in one kernel, with each row in the registers of a warp."""
    logits = logits.contiguous()
    kept, length = torch.empty_like(logits, dtype=torch.int8), logits.shape[-1]
    rows = logits.numel() // length
    _bisect_rows[(rows,)](logits, kept, length, num_keys, block=triton.next_power_of_2(length), num_warps=1)
    return kept.view(torch.bool)


if triton is not None:

    @triton.jit
    def _bisect_rows(
        logits: tl.tensor, kept: tl.tensor, length: tl.int32, num_keys: tl.int32, block: tl.constexpr
    ) -> None:
        """Mark the largest entries of a row."""
        lanes = tl.arange(0, block)
        inside, start = lanes < length, tl.program_id(0).to(tl.int64) * length
        bits = tl.load(logits + start + lanes, mask=inside, other=0.0).to(tl.int32, bitcast=True)
        keys = tl.where(inside, bits ^ ((bits >> 31) & 0x7FFFFFFF), -0x80000000)
        low, high = tl.min(keys, axis=0), tl.max(keys, axis=0)
        for _ in range(32):
            middle = (low | high) - ((low ^ high) >> 1)
            enough = tl.sum((keys >= middle).to(tl.int32), axis=0) >= num_keys
            low, high = tl.where(enough, middle, low), tl.where(enough, high, middle - 1)
        above, equal = keys > low, (keys == low) & inside
        spare = num_keys - tl.sum(above.to(tl.int32), axis=0)
        chosen = above | (equal & (tl.cumsum(equal.to(tl.int32), axis=0) <= spare))
        tl.store(kept + start + lanes, chosen.to(tl.int8), mask=inside)
