"""Window attention, the blocks around it, and a stage of them.

Letters: B images, h x w tokens, C channels, W windows in an image, T tokens in a window.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mixmae_mm.models.utils.attention import attend, check_heads, merge_heads, split_heads
from mixmae_mm.models.utils.layers import DropPath, Mlp, PatchMerging
from mixmae_mm.models.utils.mixins import FitsStored, fit_stored_biases, keep_grid
from mixmae_mm.models.utils.pos_embed import relative_index
from mixmae_mm.models.utils.varlen_attention import attend_segments
from mixmae_mm.models.utils.windows import Windows, plan_windows
from mixmae_mm.structures import Fitted, Size


class WindowAttention(FitsStored, nn.Module):
    """Multi-head self-attention inside windows, with a learnt bias for each relative position.

    Bias tables of other windows are resized when they are loaded; a stored index tells their window.

    Args:
        dims: Channels.
        num_heads: Heads.
        window: Tokens (h, w) of the window that the bias table is for.

    Raises:
        ValueError: the channels cannot be split among the heads, or a loaded table cannot be resized.
    """

    def __init__(self, dims: int, num_heads: int, window: Size) -> None:
        super().__init__()
        check_heads(dims, num_heads)
        self.num_heads = num_heads
        self.window = window
        offsets = (2 * window[0] - 1) * (2 * window[1] - 1)
        self.relative_position_bias_table = nn.Parameter(torch.empty(offsets, num_heads))
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)
        self.register_buffer('relative_position_index', relative_index(window, window))
        if 1 in window:
            keep_grid(self, 'relative_position_bias_table', window)
        self.qkv = nn.Linear(dims, 3 * dims)
        self.proj = nn.Linear(dims, dims)

    def forward(self, x: Tensor, windows: Windows) -> Tensor:
        """Let the tokens of each window see each other, as far as `windows` allows: (B, W, T, C) -> (B, W, T, C)."""
        if windows.segments:
            bias = self._bias(windows.pairs)
            seen = attend_segments(self.qkv(x.flatten(1, 2)), self.num_heads, bias, windows.segments).view(x.shape)
        else:
            heads = split_heads(self.qkv(x), self.num_heads)
            seen = merge_heads(attend(*heads, self.bias_of(windows.size), windows.keep))
        return self.proj(seen)

    def bias_of(self, size: Size) -> Tensor:
        """Return the bias of each pair of tokens of a window of this size: (heads, T, T)."""
        index = self.relative_position_index
        if size != self.window:
            index = relative_index(size, self.window, index.device)
        return self._bias(index.flatten()).view(-1, *index.shape)

    def _bias(self, index: Tensor) -> Tensor:
        """Look biases up by their places in the table, (n,): (heads, n)."""
        return self.relative_position_bias_table.t().index_select(1, index)

    def fit_stored(self, state_dict: dict[str, Tensor], prefix: str) -> dict[str, Fitted]:
        """Fit a stored bias table to this window, in place; the index is the window's own.

        Raises:
            ValueError: it is neither of the stored index's window, nor of this one, nor of a square one.
        """
        return fit_stored_biases(state_dict, prefix, self.window)


class SwinBlock(nn.Module):
    """A pre-norm transformer block whose attention stays inside windows; no shift."""

    def __init__(self, dims: int, num_heads: int, window: Size, mlp_ratio: float, drop_path: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dims)
        self.attn = WindowAttention(dims, num_heads, window)
        self.norm2 = nn.LayerNorm(dims)
        self.mlp = Mlp(dims, int(dims * mlp_ratio))
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor, windows: Windows) -> Tensor:
        """Exchange inside windows, then transform each token: (B, h, w, C), or cut already (B, W, T, C) -> same."""
        x = x + self.drop_path(windows.join(self.attn(windows.cut(self.norm1(x)), windows)))
        return x + self.drop_path(self.mlp(self.norm2(x)))


class SwinStage(nn.Module):
    """The blocks of one resolution, and the merging that leads to the next.

    Args:
        dims: Channels.
        num_heads: Heads.
        windows: Tokens (h, w) of each block's windows; their number is the stage's depth.
        drop_paths: The drop rate of each block.
        mlp_ratio: Width of the hidden layer over the width of the tokens.
        with_cp: Recompute each block in the backward pass rather than keep what it computed.
        merge: Whether another stage follows.
    """

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
        blocks = zip(windows, drop_paths, strict=True)
        self.blocks = nn.ModuleList(SwinBlock(dims, num_heads, window, mlp_ratio, rate) for window, rate in blocks)
        self.downsample = PatchMerging(dims) if merge else nn.Identity()

    def forward(self, x: Tensor, labels: Tensor | None = None, in_runs: bool = False) -> Tensor:
        """Run the blocks, without the merging: (B, h, w, C) -> (B, h, w, C).

        Args:
            x: Tokens.
            labels: The image that each belongs to, int64 (B or 1, h, w): tokens see only their like. None where all
                may see each other.
            in_runs: Sort tokens by labels that the batch shares (see `prefers_runs`).
        """
        sizes, grid = {block.attn.window for block in self.blocks}, tuple(x.shape[1:3])
        plans = {size: plan_windows(grid, size, labels, x.device, in_runs) for size in sizes}
        once = _sorted_once(list(plans.values()))
        if once is not None:
            x, plans = once.cut(x), dict.fromkeys(sizes, once.from_inside())
        for block in self.blocks:
            if self.with_cp and torch.is_grad_enabled():
                x = checkpoint(block, x, plans[block.attn.window], use_reentrant=False)
            else:
                x = block(x, plans[block.attn.window])
        return x if once is None else once.join(x)


def _sorted_once(plans: Sequence[Windows]) -> Windows | None:
    """Return the plan by which tokens can be sorted once for a whole stage, if there is one.

    Windows that are filled up are sorted in each block: what fills them up would go through the MLPs too.
    """
    alone = len(plans) == 1 and bool(plans[0].segments) and not any(plans[0].padding)
    return plans[0] if alone else None
