"""Arrangement of a mixture's tokens in the attention of other libraries, needed to mask it by source.

Letters: B images, h x w tokens, R rows of attention (images, or windows of them), T queries, U keys.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F

from mixmae_mm.mixing import resize_assignment
from mixmae_mm.models.utils.pos_embed import pair
from mixmae_mm.structures import Size

ANYONE = -2
"""The label of the constants with which a library pads windows; all queries keep them, as they do without a mask."""


class Mixture(NamedTuple):
    """The mixtures that are being encoded."""

    assignment: Tensor
    """The source of each cell, int64 (B or 1, h, w)."""
    labels: range
    """The labels in the assignment: the sources, and `NOBODY` if it masks cells."""
    batch: int
    image_size: Size
    """Sides of the images (H, W) in pixels."""

    def at(self, grid: Size) -> Tensor:
        """Return the source of each token of a map (h, w): int64 (B, h, w).

        Raise ValueError if the tokens do not cover equal parts of the image, or some cross the borders of cells.
        """
        if any(side % tokens for side, tokens in zip(self.image_size, grid, strict=True)):
            raise ValueError(
                f'a map of {grid[0]} x {grid[1]} does not divide an image of {self.image_size[0]} x '
                f"{self.image_size[1]} pixels: make its sides multiples of the encoder's last stride"
            )
        return resize_assignment(self.assignment, grid).expand(self.batch, -1, -1)


Layout = Callable[[nn.Module, Mixture, tuple[Any, ...]], tuple[Tensor, Tensor]]
"""Function of an attention module, the mixture and the inputs: the labels of queries (R, T) and keys (R, U)."""


def whole(module: nn.Module, mixture: Mixture, inputs: tuple[Any, ...]) -> tuple[Tensor, Tensor]:
    """Lay out global attention: all tokens (B, T, C) to all tokens."""
    height, width = mixture.image_size  # the grid of tokens has its aspect ratio
    stride = math.isqrt(height * width // inputs[0].shape[1])
    labels = mixture.at((height // stride, width // stride)).flatten(1)
    return labels, labels


def reduced(module: nn.Module, mixture: Mixture, inputs: tuple[Any, ...]) -> tuple[Tensor, Tensor]:
    """Lay out attention to keys that each stand for `sr_ratio` x `sr_ratio` tokens (PVT, Twins).

    Raise ValueError if these squares cross the borders of cells.
    """
    (height, width), ratio = inputs[1], int(module.sr_ratio)
    cells = tuple(mixture.assignment.shape[-2:])
    if height % (cells[0] * ratio) or width % (cells[1] * ratio):
        raise ValueError(
            f'keys of {ratio} x {ratio} tokens cross the borders of the {cells[0]} x {cells[1]} cells '
            f'on a map of {height} x {width}: use larger cells, or smaller sr_ratios'
        )
    return mixture.at((height, width)).flatten(1), mixture.at((height // ratio, width // ratio)).flatten(1)


def windowed(module: nn.Module, mixture: Mixture, inputs: tuple[Any, ...]) -> tuple[Tensor, Tensor]:
    """Lay out attention inside windows of a map that is padded on the right and at the bottom, then shifted."""
    grid, window = tuple(inputs[1]), pair(module.window_size)
    shift = getattr(module, 'shift_size', 0)
    if min(grid) == window[0] and getattr(module, 'pad_small_map', True) is False:
        shift = 0  # as in mmpretrain's Swin
    return _in_windows(_shifted(_padded(mixture.at(grid), window), shift), window)


def shifted_first(module: nn.Module, mixture: Mixture, inputs: tuple[Any, ...]) -> tuple[Tensor, Tensor]:
    """Lay out attention inside windows of a map (B, h, w, C) that is shifted, then padded (timm)."""
    window = pair(module.window_size)
    labels = _shifted(mixture.at(tuple(inputs[0].shape[1:3])), module.shift_size)
    return _in_windows(_padded(labels, window), window)


def _shifted(labels: Tensor, shift: int | Size) -> Tensor:
    """Roll a map (B, h, w) up and to the left, by one shift for both directions or a pair of shifts."""
    down, across = (shift, shift) if isinstance(shift, int) else shift
    return labels.roll((-down, -across), (1, 2))


def _padded(labels: Tensor, window: Size) -> Tensor:
    """Pad a map (B, h, w) to whole windows."""
    return F.pad(labels, (0, -labels.shape[2] % window[1], 0, -labels.shape[1] % window[0]), value=ANYONE)


def _in_windows(labels: Tensor, window: Size) -> tuple[Tensor, Tensor]:
    """Partition a map (B, h, w) into windows, row by row: (R, T), for queries and keys alike."""
    parts = labels.unflatten(2, (-1, window[1])).unflatten(1, (-1, window[0])).transpose(2, 3)
    labels = parts.reshape(-1, window[0] * window[1])
    return labels, labels


LAYOUTS: dict[str, Layout] = {
    'ShiftWindowMSA': windowed,  # Swin of mmpretrain, mmdet, mmseg
    'SwinTransformerBlock': shifted_first,  # of timm
    'LocallyGroupedSelfAttention': windowed,  # Twins-SVT of mmpretrain, mmseg
    'GlobalSubsampledAttention': reduced,  # Twins of both
    'SpatialReductionAttention': reduced,  # PVT of mmdet
    'EfficientMultiheadAttention': reduced,  # SegFormer's encoder of mmseg
    'BlockWithRPE': whole,  # HiViT of mmpretrain
}
"""How attention classes, by name, lay out their tokens."""
