"""Masked attention for encoders of other libraries: while a mixture is encoded, no operator mixes sources.

The encoder's own modules run; nothing of them is written anew, and no parameter is added or renamed.

- *Attention*: wherever logits become weights, keys of other sources are left out. `LAYOUTS` says for each class of
  attention how it arranges its tokens.
- *Convolutions* whose kernels overlap, such as position encodings, are computed source by source, with 0 in place of
  the others, as beyond the border of an image.
- Attention of other classes, and pooling, are refused.

Letters: B images, h x w tokens, S heads, R rows of attention (images, or windows of them), T queries, U keys.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from mixmae_mm.mixing import NOBODY, resize_assignment
from mixmae_mm.structures import Size

ANYONE = -2
"""The label of what a library pads windows with: constants, kept as keys whatever the source, as without a mask."""


class Mixture(NamedTuple):
    """What is encoded now."""

    assignment: Tensor
    """The source of each cell, int64 (B or 1, h, w)."""
    labels: range
    """The labels in it: the sources, and `NOBODY` where cells are masked."""
    batch: int
    canvas: Size
    """Pixels (H, W)."""

    def at(self, grid: Size) -> Tensor:
        """Return the source of each token of a map (h, w): int64 (B, h, w)."""
        return resize_assignment(self.assignment, grid).expand(self.batch, -1, -1)

    def grid_of(self, tokens: int) -> Size:
        """Return the map (h, w) of so many tokens, which has the shape of the canvas."""
        stride = math.isqrt(math.prod(self.canvas) // tokens)
        return self.canvas[0] // stride, self.canvas[1] // stride


Layout = Callable[[nn.Module, Mixture, tuple[Any, ...]], tuple[Tensor, Tensor]]
"""Gives the labels of queries (R, T) and keys (R, U), from an attention module, the mixture and the module's inputs."""


def whole(module: nn.Module, mixture: Mixture, inputs: tuple[Any, ...]) -> tuple[Tensor, Tensor]:
    """Lay out attention of all tokens (B, T, C) to all."""
    labels = mixture.at(mixture.grid_of(inputs[0].shape[1])).flatten(1)
    return labels, labels


def reduced(module: nn.Module, mixture: Mixture, inputs: tuple[Any, ...]) -> tuple[Tensor, Tensor]:
    """Lay out attention to keys that each stand for a square of `sr_ratio` tokens a side (PVT, Twins)."""
    grid, ratio = inputs[1], int(module.sr_ratio)
    return mixture.at(tuple(grid)).flatten(1), mixture.at((grid[0] // ratio, grid[1] // ratio)).flatten(1)


def windowed(module: nn.Module, mixture: Mixture, inputs: tuple[Any, ...]) -> tuple[Tensor, Tensor]:
    """Lay out attention inside windows, shifted or not, of a map that is padded on the right and at the bottom."""
    grid = tuple(inputs[1]) if len(inputs) > 1 else tuple(inputs[0].shape[1:3])
    height, width = _pair(module.window_size)
    shift = _pair(getattr(module, 'shift_size', 0))
    if min(grid) == height and getattr(module, 'pad_small_map', True) is False:
        shift = (0, 0)  # as mmpretrain's Swin has it
    labels = F.pad(mixture.at(grid), (0, -grid[1] % width, 0, -grid[0] % height), value=ANYONE)
    labels = labels.roll((-shift[0], -shift[1]), (1, 2))
    labels = labels.unflatten(2, (-1, width)).unflatten(1, (-1, height)).transpose(2, 3).reshape(-1, height * width)
    return labels, labels


def _pair(side: int | Size) -> Size:
    """Return (h, w) of a side or a pair."""
    return (side, side) if isinstance(side, int) else tuple(side)


LAYOUTS: dict[str, Layout] = {
    'ShiftWindowMSA': windowed,  # Swin of mmpretrain, mmdet, mmseg
    'SwinTransformerBlock': windowed,  # of timm
    'LocallyGroupedSelfAttention': windowed,  # Twins-SVT of mmpretrain, mmseg
    'GlobalSubsampledAttention': reduced,  # Twins of both
    'SpatialReductionAttention': reduced,  # PVT of mmdet
    'EfficientMultiheadAttention': reduced,  # SegFormer's encoder of mmseg
    'BlockWithRPE': whole,  # HiViT of mmpretrain
}
"""How classes of attention, by name, lay out their tokens."""

ATTENTION = {torch.softmax, Tensor.softmax, F.softmax, F.scaled_dot_product_attention, F.multi_head_attention_forward}
POOLING = {F.avg_pool2d, F.max_pool2d, F.adaptive_avg_pool2d, F.adaptive_max_pool2d}


class MaskedLogits(TorchFunctionMode):
    """Leave keys out of the attention that is computed inside, and refuse what is not known to be attention.

    Args:
        encoder: How to name the encoder in errors.
    """

    def __init__(self, encoder: str) -> None:
        super().__init__()
        self.encoder = encoder
        self.keep: Tensor | None = None
        """Which keys (columns) each query (rows) keeps, bool (R, T, U); None where no attention is known."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run an operator of PyTorch, with a mask where it is attention."""
        kwargs = dict(kwargs or {})
        if func in ATTENTION or (func in POOLING and self.keep is None):
            if self.keep is None:
                raise ValueError(_unknown(self.encoder, f'{func.__name__} outside of attention that is known here'))
            args, kwargs = self._masked(func, args, kwargs)
        return func(*args, **kwargs)

    def _masked(
        self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Put the mask into the arguments of a function."""
        if func is F.multi_head_attention_forward:  # (T, B, C)
            kwargs['attn_mask'] = (~self.keep).repeat_interleave(args[4], 0)
            return args, kwargs
        if func is F.scaled_dot_product_attention:
            mask = args[3] if len(args) > 3 else kwargs.pop('attn_mask', None)
            keep = self._like(args[0].shape[:-3])
            joined = keep if mask is None else mask & keep if mask.dtype == torch.bool else _leave_out(mask, keep)
            return (*args[:3], joined, *args[4:]), kwargs
        return (_leave_out(args[0], self._like(args[0].shape[:-3])), *args[1:]), kwargs

    def _like(self, rows: torch.Size) -> Tensor:
        """Reshape the mask for logits (*rows, S, T, U)."""
        return self.keep.view(*rows, 1, *self.keep.shape[1:])


def _leave_out(logits: Tensor, keep: Tensor) -> Tensor:
    """Set the logits of keys that are not kept to minus infinity."""
    return logits.masked_fill(~keep, float('-inf'))


def _unknown(encoder: str, what: str) -> str:
    """Say that an encoder cannot be masked, and what to do."""
    return (
        f'{encoder} has {what}, so its attention cannot be masked by source: set masked_attention=False, write an '
        f'encoder whose forward takes (images, assignment), or use one of {", ".join(sorted(LAYOUTS))}'
    )


class SourceMasking:
    """Equips an encoder, and holds the mixture while it is encoded.

    Args:
        encoder: Of mmpretrain, mmdet, mmseg or timm, whose attention `LAYOUTS` knows. Its modules are changed in place,
            and do what they did before unless a mixture is encoded.

    Raises:
        ValueError: nothing in the encoder is known to mix tokens.
    """

    def __init__(self, encoder: nn.Module) -> None:
        self.name = type(encoder).__name__
        self.active: Mixture | None = None
        self.last: Mixture | None = None
        self.mode: MaskedLogits | None = None
        found = 0
        for module in encoder.modules():
            layout = LAYOUTS.get(type(module).__name__)
            if layout is not None:
                module.forward = MaskedForward(self, module, module.forward, layout)
            elif isinstance(module, nn.Conv2d) and _overlaps(module):
                module.forward = BySource(self, module.forward)
            found += layout is not None
        if not found:
            raise ValueError(_unknown(self.name, 'no attention that is known here'))

    @property
    def mixture(self) -> Mixture | None:
        """What is encoded, None outside; the last one in backward passes, where checkpointed blocks run once more."""
        in_backward = torch._C._current_graph_task_id() != -1  # as torch.utils.checkpoint asks it
        return self.last if in_backward else self.active

    @contextmanager
    def encoding(self, images: Tensor, assignment: Tensor, num_sources: int, masked: bool) -> Iterator[None]:
        """Mask by source inside: mixtures (B, C, H, W), an assignment (B or 1, h, w), and whether it has `NOBODY`."""
        labels = range(NOBODY if masked else 0, num_sources)
        self.active = self.last = Mixture(assignment, labels, len(images), tuple(images.shape[-2:]))
        self.mode = MaskedLogits(self.name)
        try:
            with self.mode:
                yield
        finally:
            self.active = self.mode = None

    @contextmanager
    def keeping(self, keep: Tensor) -> Iterator[None]:
        """Leave out all keys but those of a mask, bool (R, T, U), inside."""
        with ExitStack() as stack:
            mode = self.mode or stack.enter_context(MaskedLogits(self.name))
            mode.keep = keep
            try:
                yield
            finally:
                mode.keep = None


class MaskedForward:
    """The forward pass of an attention module, masked while a mixture is encoded."""

    def __init__(self, masking: SourceMasking, module: nn.Module, forward: Callable[..., Any], layout: Layout) -> None:
        self.masking, self.module, self.forward, self.layout = masking, module, forward, layout

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the module's own forward pass."""
        mixture = self.masking.mixture
        if mixture is None:
            return self.forward(*args, **kwargs)
        queries, keys = (labels[..., None] for labels in self.layout(self.module, mixture, args))
        queries, keys = queries, keys.transpose(1, 2)
        with self.masking.keeping((queries == keys) | (queries == ANYONE) | (keys == ANYONE)):
            return self.forward(*args, **kwargs)


class BySource:
    """The forward pass of a convolution, source by source while a mixture is encoded."""

    def __init__(self, masking: SourceMasking, forward: Callable[[Tensor], Tensor]) -> None:
        self.masking, self.forward = masking, forward

    def __call__(self, x: Tensor) -> Tensor:
        """Convolve (B, C, h, w) with 0 in place of other sources, once for each, and take its outputs."""
        mixture = self.masking.mixture
        if mixture is None:
            return self.forward(x)
        labels, out = mixture.at(tuple(x.shape[-2:]))[:, None], None
        for label in mixture.labels:
            convolved = self.forward(x.masked_fill(labels != label, 0))
            if out is None:
                out, outputs = convolved, mixture.at(tuple(convolved.shape[-2:]))[:, None]
            else:
                out = torch.where(outputs == label, convolved, out)
        return out


def _overlaps(conv: nn.Conv2d) -> bool:
    """Return whether a convolution is more than a projection of separate patches."""
    return any(kernel > stride for kernel, stride in zip(conv.kernel_size, conv.stride, strict=True))
