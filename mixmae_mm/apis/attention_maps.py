"""The attention weights of a forward pass, recomputed beside it, since fast kernels never store them.

Letters: B images or mixtures, W windows, S heads, T tokens in a window, D channels of a head, h x w patches.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mixmae_mm.mixing import MixedImages
from mixmae_mm.models import MixingViT, MixMIMSwin
from mixmae_mm.models.utils.attention import Attention, split_heads
from mixmae_mm.models.utils.swin_layers import WindowAttention
from mixmae_mm.models.utils.vit_windows import WindowedAttention
from mixmae_mm.models.utils.windows import Windows
from mixmae_mm.structures import Size

NOWHERE = -1  # the place of tokens that stand on no patch: CLS, padding


class Attended(NamedTuple):
    """The attention weights of one block, and where on the image its tokens stand."""

    weights: Tensor
    """Weights of each query (rows) for the keys of its window, which add up to 1: (B, W, S, T, T)."""
    values: Tensor
    """(B, W, S, T, D); weights @ values is the output of the heads."""
    places: Tensor
    """The index of each token's patch, row by row, or `NOWHERE`: int64 (B or 1, W, T)."""
    grid: Size
    """Patches (h, w) of the image."""
    extra: int
    """Tokens before the patches: 1 where there is CLS."""

    def of_cls(self, image: int) -> Tensor:
        """Return what CLS attends to, head by head: (S, h, w).

        Raises:
            ValueError: there is no CLS.
        """
        if not self.extra:
            raise ValueError('this block has no CLS token: take a query patch, or what patches receive')
        return self._on_grid(self.weights[image, 0, :, 0], self._places(image)[0])

    def of_patch(self, image: int, row: int, column: int) -> Tensor:
        """Return what a patch attends to, NaN beyond its window: (S, h, w).

        Raises:
            ValueError: the encoder did not see that patch.
        """
        places = self._places(image)
        found = (places == row * self.grid[1] + column).nonzero().tolist()
        if not found:
            raise ValueError(f'the encoder does not see the patch in row {row}, column {column}: it is masked')
        window, token = found[0]
        return self._on_grid(self.weights[image, window, :, token], places[window])

    def received(self, image: int) -> Tensor:
        """Return the mean weight that the patches of its window give to each patch: (S, h, w)."""
        places = self._places(image)
        result = self.weights.new_full((self.weights.shape[2], *self.grid), torch.nan)
        for weights, of_window in zip(self.weights[image], places, strict=True):
            looking = weights[:, of_window != NOWHERE]
            there = self._on_grid(looking.mean(1), of_window)
            result = torch.where(there.isnan(), result, there)
        return result

    def equal_share(self, image: int) -> float:
        """Return what each key of a full window would get if all got the same."""
        return 1 / int((self._places(image) != NOWHERE).sum(1).max())

    def _places(self, image: int) -> Tensor:
        """Return the places of an image's tokens, (W, T)."""
        return self.places[image if len(self.places) > 1 else 0]

    def _on_grid(self, shares: Tensor, places: Tensor) -> Tensor:
        """Put the weights (S, T) of a window's tokens on the image, NaN elsewhere: (S, h, w)."""
        laid = shares.new_full((len(shares), self.grid[0] * self.grid[1]), torch.nan)
        there = places != NOWHERE
        laid[:, places[there]] = shares[:, there]
        return laid.unflatten(1, self.grid)


def blocks_of(encoder: nn.Module) -> dict[str, nn.Module]:
    """Name the transformer blocks of an encoder, first to last.

    Raises:
        ValueError: an encoder of another library.
    """
    if isinstance(encoder, MixMIMSwin):
        stages = enumerate(encoder.layers)
        return {f'stage {s} block {b}': block for s, stage in stages for b, block in enumerate(stage.blocks)}
    if isinstance(encoder, MixingViT):
        return {f'block {b}': block for b, block in enumerate(encoder.blocks)}
    raise ValueError(f'the blocks of {type(encoder).__name__} are not known: take MixMIMSwin or MixingViT')


def last_blocks(encoder: nn.Module) -> list[int]:
    """Return the indices of the blocks to look at first: the last of each stage that runs, counted over all stages."""
    if not isinstance(encoder, MixMIMSwin):
        return [max(encoder.out_indices)]
    depths = encoder.arch.depths[: max(encoder.out_indices) + 1]
    return [sum(depths[: stage + 1]) - 1 for stage in range(len(depths))]


@torch.no_grad()
def attention_of(
    encoder: nn.Module, images: Tensor | MixedImages, blocks: Sequence[int] | None = None
) -> dict[str, Attended]:
    """Encode normalized images (B, C, H, W), or mixtures, and return the attention of the chosen blocks.

    Args:
        encoder: A `MixMIMSwin` or a `MixingViT`, in evaluation mode.
        images: Images, or what a `MixingDataPreprocessor` made of them.
        blocks: Their numbers, counted over all stages from 0 or, negative, from the end; None for `last_blocks`.

    Returns:
        The attention of each block, by its name.

    Raises:
        ValueError: blocks that there are not or that are not run, another encoder, or one that is being trained.
    """
    if encoder.training:
        raise ValueError('attention is recorded in evaluation mode: call encoder.eval()')
    named = list(blocks_of(encoder).items())
    chosen = last_blocks(encoder) if blocks is None else blocks
    wrong = [number for number in chosen if not -len(named) <= number < len(named)]
    if wrong:
        raise ValueError(f'there is no block {wrong[0]}: this encoder has {len(named)}, 0 to {len(named) - 1}')
    wanted = dict(named[number] for number in chosen)
    with _listening(wanted) as seen:
        grid, visible = _encode(encoder, images)
    if len(seen) < len(wanted):
        unseen = ', '.join(wanted.keys() - seen.keys())
        raise ValueError(f'{unseen} is not run: out_indices {encoder.out_indices} asks for earlier ones only')
    return {name: _attended(wanted[name].attn, *seen[name], grid, visible) for name in wanted}


def _encode(encoder: nn.Module, images: Tensor | MixedImages) -> tuple[Size, Tensor | None]:
    """Encode; return the patches (h, w) of an image, and the indices of the visible ones if some are masked."""
    mixed = isinstance(images, MixedImages)
    pixels = images.mixed if mixed else images
    grid = tuple(-(-side // encoder.patch_size) for side in pixels.shape[-2:])
    if mixed and isinstance(encoder, MixingViT):
        encoder.encode(pixels, images.assignment, images.ids_keep)
        return grid, images.ids_keep
    encoder(pixels, *([images.assignment] if mixed else []))
    return grid, None


@contextmanager
def _listening(blocks: dict[str, nn.Module]) -> Iterator[dict[str, tuple[Tensor, object]]]:
    """Record what the attention of each block is called with: tokens and rule, by the block's name."""
    heard: dict[str, tuple[Tensor, object]] = {}

    def note(name: str) -> object:
        return lambda module, inputs: heard.update({name: (inputs[0], inputs[1] if len(inputs) > 1 else None)})

    handles = [block.attn.register_forward_pre_hook(note(name)) for name, block in blocks.items()]
    try:
        yield heard
    finally:
        for handle in handles:
            handle.remove()


def _attended(attention: nn.Module, x: Tensor, rule: object, grid: Size, visible: Tensor | None) -> Attended:
    """Compute the weights of one attention from what it was called with."""
    if isinstance(attention, WindowAttention):
        return _in_windows(attention, x, attention.bias_of(rule.size), rule)
    if isinstance(attention, WindowedAttention):
        return _in_windows(attention, rule.cut(x.unflatten(1, rule.grid)), 0, rule)
    return _among_all(attention, x, rule, grid, visible)


def _in_windows(attention: nn.Module, x: Tensor, bias: Tensor | int, windows: Windows) -> Attended:
    """Compute the weights inside windows: tokens (B, W, T, C)."""
    weights, values = _weigh(attention, x, bias, None if windows.keep is None else windows.keep[:, :, None])
    return Attended(weights, values, _places(windows, x.device), windows.grid, 0)


def _among_all(attention: Attention, x: Tensor, rule: object, grid: Size, visible: Tensor | None) -> Attended:
    """Compute the weights of an attention over the whole sequence, which is one window."""
    patches = torch.arange(grid[0] * grid[1], device=x.device)[None] if visible is None else visible
    extra = x.shape[1] - patches.shape[1]
    query, key, _ = split_heads(attention.qkv(x), attention.num_heads)
    keep = None if rule is None else rule(query, key)[:, None]
    weights, values = _weigh(attention, x[:, None], 0, keep)
    places = nn.functional.pad(patches, (extra, 0), value=NOWHERE)[:, None]
    return Attended(weights, values, places, grid, extra)


def _weigh(attention: nn.Module, x: Tensor, bias: Tensor | int, keep: Tensor | None) -> tuple[Tensor, Tensor]:
    """Compute softmax attention in steps: tokens (B, W, T, C) -> weights (B, W, S, T, T) and values (B, W, S, T, D).

    Args:
        attention: Whose projection and heads are meant.
        x: Tokens.
        bias: Added to the logits, (S, T, T).
        keep: Which keys a query may see, bool and broadcastable to the weights; None for all.
    """
    query, key, value = split_heads(attention.qkv(x), attention.num_heads)
    logits = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2) + bias
    if keep is not None:
        logits = logits.masked_fill(~keep, float('-inf'))
    return logits.softmax(dim=-1), value


def _places(windows: Windows, device: torch.device) -> Tensor:
    """Return the indices of the patches in each window, `NOWHERE` for padding: int64 (1, W, T)."""
    numbers = torch.arange(windows.grid[0] * windows.grid[1], device=device).view(1, *windows.grid, 1)
    return windows.cut(numbers - NOWHERE)[..., 0] + NOWHERE  # cut() fills up with zeros
