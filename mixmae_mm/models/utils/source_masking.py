"""Masked attention for encoders of other libraries, which keeps sources apart while a mixture is encoded.

The encoder's own modules run: none is reimplemented, and no parameter is added or renamed.

- *Attention*: keys of other sources are masked wherever logits become weights. `LAYOUTS` states how each supported
  class of attention arranges its tokens.
- *Convolutions* with overlapping kernels, such as position encodings, run once per source, with all other tokens set
  to 0 like those beyond the border of an image.
- Other classes of attention, pooling and other convolutions are refused with a `ValueError`.

Letters: B images, h x w tokens, S heads, R rows of attention (images, or windows of them), T queries, U keys.
"""

import inspect
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from mixmae_mm.mixing import NOBODY
from mixmae_mm.models.utils.token_layouts import ANYONE, LAYOUTS, Layout, Mixture

SOFTMAX = {torch.softmax, Tensor.softmax, F.softmax}
ATTENTION = {*SOFTMAX, F.scaled_dot_product_attention, F.multi_head_attention_forward}
POOLING = {f'{kind}{of}_pool{dims}d' for kind in ('', 'adaptive_') for of in ('avg', 'max') for dims in (1, 2, 3)}
REFUSED = {
    *(function for name in POOLING for place in (F, torch) if (function := getattr(place, name, None))),
    *(torch.conv1d, torch.conv3d, torch.conv_transpose1d, torch.conv_transpose2d, torch.conv_transpose3d),
    *(torch.log_softmax, Tensor.log_softmax, F.log_softmax, torch.special.softmax, F.lp_pool2d),
}
"""Operators that mix tokens and that no supported encoder needs."""
NAMES = 'query', 'key', 'value', 'attn_mask', 'dropout_p', 'is_causal'
"""The parameters of `scaled_dot_product_attention`, in order."""
UNTRACED = {'AbsolutePositionEmbedding'}
"""Classes that `torch.compile` cannot trace under a mode."""


class KeptApart(TorchFunctionMode):
    """Mode that masks keys in the attention computed inside it, and refuses other operators that mix tokens.

    Args:
        encoder: Name of the encoder in error messages.
    """

    def __init__(self, encoder: str) -> None:
        super().__init__()
        self.encoder = encoder
        self.keep: Tensor | None = None
        """Which keys (columns) each query (rows) keeps, bool (R, T, U); None outside of known attention."""
        self.by_source = False
        """Whether the convolution that runs sees only one source."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run a PyTorch operator, masked if it is attention; raise ValueError if it mixes tokens in another way."""
        kwargs = dict(kwargs or {})
        if func in ATTENTION and self.keep is not None:
            return self._attend(func, args, kwargs)
        if func in ATTENTION or func in REFUSED or (func is torch.conv2d and self._leaks(*args, **kwargs)):
            raise ValueError(_unknown(self.encoder, f'{func.__name__} outside the known layouts'))
        return func(*args, **kwargs)

    def _attend(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run an attention function, with our mask combined with its own."""
        if func is F.multi_head_attention_forward:  # takes (T, B, C), and a mask that is True for masked keys
            keep = self.keep.repeat_interleave(args[4], 0)
            own = kwargs.pop('attn_mask', None)
            return func(*args, **kwargs, attn_mask=~keep if own is None else _leave_out(own, keep, True))
        if func is F.scaled_dot_product_attention:
            given = dict(zip(NAMES, args, strict=False)) | kwargs
            keep = self._like(given['query'].shape[:-1], given['key'].shape[-2])
            own = given.pop('attn_mask', None)
            return func(**given, attn_mask=keep if own is None else _leave_out(own, keep, False))
        logits, rest = (args[0], args[1:]) if args else (kwargs.pop('input'), ())
        return func(_leave_out(logits, self._like(logits.shape[:-1], logits.shape[-1]), False), *rest, **kwargs)

    def _like(self, queries: torch.Size, num_keys: int) -> Tensor:
        """Reshape the mask to broadcast to logits (*queries, U), where `queries` is (*R, S, T)."""
        *rows, _, num_queries = queries
        if (torch.Size(rows).numel(), num_queries, num_keys) != self.keep.shape:
            raise ValueError(
                f'attention of {self.encoder} has logits {(*queries, num_keys)}, but its tokens were laid out as '
                f'{tuple(self.keep.shape)}: give its class another layout in LAYOUTS'
            )
        return self.keep.view(*rows, 1, num_queries, num_keys)

    def _leaks(
        self, x: Tensor, weight: Tensor, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, *_: Any
    ) -> bool:
        """Return whether a convolution mixes sources: its kernels overlap and see more than one."""
        return not self.by_source and _overlaps(weight.shape[-2:], stride, padding, dilation)


def _leave_out(logits: Tensor, keep: Tensor, masked: bool) -> Tensor:
    """Mask keys in logits or in a mask; in a bool mask, True means masked if `masked` is set, else kept."""
    if logits.dtype == torch.bool:
        return logits | ~keep if masked else logits & keep
    return logits.masked_fill(~keep, float('-inf'))


def _overlaps(kernel: Any, stride: Any, padding: Any, dilation: Any) -> bool:
    """Return whether a convolution is more than a projection of non-overlapping patches."""
    sides = zip(*(tuple(x) if isinstance(x, tuple | list) else (x, x) for x in (kernel, stride, dilation)), strict=True)
    padded = any(padding) if isinstance(padding, tuple | list) else padding not in (0, 'valid')
    return padded or any(spread * (side - 1) + 1 > step for side, step, spread in sides)


def _unknown(encoder: str, what: str) -> str:
    """Return the error message for an encoder that cannot be masked."""
    return (
        f'{encoder} has {what}, so its attention cannot be masked by source: set masked_attention=False, or write an '
        f'encoder whose forward takes (images, assignment) (docs/encoders.md). Known: {", ".join(sorted(LAYOUTS))}'
    )


class SourceMasking:
    """Mask the attention of an encoder by source, and hold the mixture that is being encoded.

    Checkpointed blocks run again in the backward pass, with the mixture of their own forward pass. An encoder without
    attention from `LAYOUTS` raises ValueError.

    Args:
        encoder: An encoder of mmpretrain, mmdet, mmseg or timm with attention from `LAYOUTS`. Its modules are changed
            in place, but behave as before unless a mixture is being encoded.
    """

    def __init__(self, encoder: nn.Module) -> None:
        self.name = type(encoder).__name__
        self.mode = KeptApart(self.name)
        self.active: Mixture | None = None
        self.thread = 0
        self.of_backward: Mixture | None = None
        """The mixture whose graph the backward pass has reached."""
        modules = list(encoder.modules())
        known = {module: LAYOUTS[type(module).__name__] for module in modules if type(module).__name__ in LAYOUTS}
        if not known:
            raise ValueError(_unknown(self.name, 'no attention that is known here'))
        for module in modules:
            if module in known:
                module.forward = MaskedForward(self, module, known[module])
            elif isinstance(module, nn.Conv2d) and _overlaps(
                module.kernel_size, module.stride, module.padding, module.dilation
            ):
                module.forward = BySource(self, module)
            elif type(module).__name__ in UNTRACED:
                module.forward = Untraced(self, module)
        encoder.register_forward_hook(self._bind)

    @property
    def mixture(self) -> Mixture | None:
        """The mixture that this thread encodes, if any; in a backward pass, the one whose blocks run again."""
        if torch._C._current_graph_task_id() != -1:  # the test of torch.utils.checkpoint
            return self.of_backward
        return self.active if self.thread == threading.get_ident() else None

    @contextmanager
    def encoding(self, images: Tensor, assignment: Tensor, num_sources: int, masked: bool) -> Iterator[None]:
        """Mask by source inside: mixtures (B, C, H, W) of an assignment (B or 1, h, w), `masked` if it has `NOBODY`."""
        labels = range(NOBODY if masked else 0, num_sources)
        self.thread = threading.get_ident()
        self.active = Mixture(assignment, labels, len(images), tuple(images.shape[-2:]))
        try:
            with self.mode:
                yield
        finally:
            self.active = None

    @contextmanager
    def inside(self, **state: Any) -> Iterator[None]:
        """Set attributes of the mode in this context; also enter the mode if blocks run again in a backward pass."""
        before = {name: getattr(self.mode, name) for name in state}
        with ExitStack() as stack:
            if self.active is None:
                stack.enter_context(self.mode)
            vars(self.mode).update(state)
            try:
                yield
            finally:
                vars(self.mode).update(before)

    def _bind(self, encoder: nn.Module, inputs: Any, outputs: Any) -> None:
        """Register hooks through which a backward pass from these outputs records their mixture, if any."""
        mixture = self.mixture
        for output in [outputs] if isinstance(outputs, Tensor) else outputs:
            if isinstance(output, Tensor) and output.requires_grad:
                output.register_hook(partial(self._reach, mixture))

    def _reach(self, mixture: Mixture | None, gradient: Tensor) -> None:
        """Record that the backward pass has reached the graph of a mixture."""
        self.of_backward = mixture


class Replaced:
    """A forward pass that replaces a module's own and calls it."""

    def __init__(self, masking: SourceMasking, module: nn.Module) -> None:
        self.masking, self.module, self.forward = masking, module, module.forward
        self.signature = inspect.signature(module.forward)

    @torch.compiler.disable
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the module, through `masked` while a mixture is being encoded."""
        mixture = self.masking.mixture
        if mixture is None:
            return self.forward(*args, **kwargs)
        return self.masked(mixture, *self.signature.bind(*args, **kwargs).arguments.values())

    def masked(self, mixture: Mixture, *inputs: Any) -> Any:
        """Run the module while a mixture is encoded."""
        raise NotImplementedError


class Untraced(Replaced):
    """A module that runs as it is, but is not traced by `torch.compile`."""

    def masked(self, mixture: Mixture, *inputs: Any) -> Any:
        """Run the module."""
        return self.forward(*inputs)


class MaskedForward(Replaced):
    """The masked forward pass of an attention module."""

    def __init__(self, masking: SourceMasking, module: nn.Module, layout: Layout) -> None:
        super().__init__(masking, module)
        self.layout = layout

    def masked(self, mixture: Mixture, *inputs: Any) -> Any:
        """Run the module's own forward pass, in which queries keep only keys of their own source."""
        queries, keys = self.layout(self.module, mixture, inputs)
        queries, keys = queries[:, :, None], keys[:, None]
        with self.masking.inside(keep=(queries == keys) | (queries == ANYONE) | (keys == ANYONE)):
            return self.forward(*inputs)


class BySource(Replaced):
    """The source-by-source forward pass of a convolution whose kernels overlap."""

    def masked(self, mixture: Mixture, *inputs: Any) -> Any:
        """Convolve (B, C, h, w) once per source, with other sources set to 0, and keep the outputs of its tokens."""
        (x,) = inputs
        labels, out = mixture.at(tuple(x.shape[-2:]))[:, None], None
        with self.masking.inside(by_source=True):
            for label in mixture.labels:
                convolved = self.forward(x.masked_fill(labels != label, 0))
                own = mixture.at(tuple(convolved.shape[-2:]))[:, None] == label
                out = convolved if out is None else torch.where(own, convolved, out)
        return out
