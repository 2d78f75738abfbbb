"""Window attention with relative position bias, without shifts, and the stages built from it.

Letters: B images, h x w tokens, C channels, W windows in an image, T tokens in a window.
"""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mixmae_mm.models.utils.attention import attend, check_heads, merge_heads, split_heads
from mixmae_mm.models.utils.cpu_kernels import SortedWindows, attend_segments, sort_once, sort_windows
from mixmae_mm.models.utils.homologous_attention import guess_keys
from mixmae_mm.models.utils.layers import Block, PatchMerging
from mixmae_mm.models.utils.mixins import FitsStored, fit_stored_biases, keep_grid
from mixmae_mm.models.utils.pos_embed import relative_index
from mixmae_mm.models.utils.windows import Windows, plan_windows
from mixmae_mm.structures import Fitted, Size


class WindowAttention(FitsStored, nn.Module):
    """Multi-head self-attention inside windows; its relative position bias is resized if a file has another window."""

    def __init__(self, dims: int, num_heads: int, window: Size) -> None:
        super().__init__()
        check_heads(dims, num_heads)
        self.num_heads = num_heads
        self.window = window
        self.precision: Tensor | None = None
        """Share of the keys guessed in the last call that came from the query's own image."""
        offsets = (2 * window[0] - 1) * (2 * window[1] - 1)
        self.relative_position_bias_table = nn.Parameter(torch.empty(offsets, num_heads))
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)
        self.register_buffer('relative_position_index', relative_index(window, window))
        if 1 in window:
            keep_grid(self, 'relative_position_bias_table', window)
        self.qkv = nn.Linear(dims, 3 * dims)
        self.proj = nn.Linear(dims, dims)

    def forward(self, x: Tensor, windows: Windows) -> Tensor:
        """Attend inside each window, to the keys that `windows` keeps: (B, h, w, C) -> (B, h, w, C).

        Tokens that the stage has sorted once come and go as windows (B, W, T, C).
        """
        x = windows.partition(x)
        if isinstance(windows, SortedWindows):
            qkv, bias = self.qkv(x.flatten(1, 2)), self._bias(windows.pairs)
            out = attend_segments(qkv, self.num_heads, bias, windows.segments).view(x.shape)
        else:
            query, key, value = split_heads(self.qkv(x), self.num_heads)
            bias = self.bias_of(windows.size)
            out = merge_heads(attend(query, key, value, bias, self.keys_of(query, key, bias, windows)))
        return windows.reverse(self.proj(out))

    def keys_of(self, query: Tensor, key: Tensor, bias: Tensor, windows: Windows) -> Tensor | None:
        """Return which keys each query keeps, bool (B or 1, W, S or 1, T, T); None for all.

        Query and key are (B, W, S, T, D), the bias is (S, T, T).
        """
        if windows.labels is None:
            return None if windows.keep is None else windows.keep[:, :, None]
        kept, self.precision = guess_keys(query, key, bias, windows.labels)
        return kept

    def bias_of(self, size: Size) -> Tensor:
        """Return the bias of each pair of tokens in a window of this size: (heads, T, T)."""
        index = self.relative_position_index
        if size != self.window:
            index = relative_index(size, self.window, index.device)
        return self._bias(index.flatten()).view(-1, *index.shape)

    def _bias(self, index: Tensor) -> Tensor:
        """Look up biases by their index in the table, (n,): (heads, n)."""
        return self.relative_position_bias_table.t().index_select(1, index)

    def fit_stored(self, state_dict: dict[str, Tensor], prefix: str) -> dict[str, Fitted]:
        """Resize a stored bias table to this window, in place."""
        return fit_stored_biases(state_dict, prefix, self.window)


class SwinStage(nn.Module):
    """The blocks at one resolution, each with its window and drop path rate, and the patch merging to the next."""

    def __init__(
        self,
        dims: int,
        num_heads: int,
        windows: Sequence[Size],
        drop_paths: Sequence[float],
        mlp_ratio: float,
        with_cp: bool,
        merge: bool,
    ) -> None:
        super().__init__()
        self.with_cp = with_cp
        self.blocks = nn.ModuleList(
            Block(dims, num_heads, mlp_ratio, rate, attention=partial(WindowAttention, window=window))
            for window, rate in zip(windows, drop_paths, strict=True)
        )
        self.downsample = PatchMerging(dims) if merge else nn.Identity()

    def forward(
        self, x: Tensor, labels: Tensor | None = None, in_segments: bool = False, guess: bool = False
    ) -> Tensor:
        """Run the blocks, without the merging: (B, h, w, C) -> (B, h, w, C).

        `labels` and `guess` are passed to `plan_windows`. `in_segments` sorts tokens by the labels instead (see
        `cpu_kernels.prefers_segments`).
        """
        sizes, grid = {block.attn.window for block in self.blocks}, tuple(x.shape[1:3])
        if in_segments:
            plans = {size: sort_windows(grid, size, labels) for size in sizes}
        else:
            plans = {size: plan_windows(grid, size, labels, x.device, guess) for size in sizes}
        x, plans, sorted_once = sort_once(x, plans)
        for block in self.blocks:
            if self.with_cp and torch.is_grad_enabled():
                x = checkpoint(block, x, plans[block.attn.window], use_reentrant=False)
            else:
                x = block(x, plans[block.attn.window])
        return x if sorted_once is None else sorted_once.reverse(x)
