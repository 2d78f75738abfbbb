"""The attention weights of a forward pass, recomputed next to it, because fused kernels never store them.

Letters: B images or mixtures, W windows, S heads, T tokens in a window, D channels of a head, h x w patches.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mixmae_mm.mixing import MixedImages
from mixmae_mm.models import MixingViT, MixMIMSwin
from mixmae_mm.models.utils.attention import Attention, split_heads
from mixmae_mm.models.utils.padding import PADDING, count_tokens
from mixmae_mm.models.utils.swin_layers import WindowAttention
from mixmae_mm.models.utils.windows import WindowedAttention, Windows
from mixmae_mm.structures import Size

NOWHERE = -1  # the place of tokens that are not patches: CLS, padding


class AttentionWeights(NamedTuple):
    """The attention weights of one block, and the places of its tokens in the image."""

    weights: Tensor
    """Weights of the keys (columns) in a window for each query (rows), which add up to 1: (B, W, S, T, T)."""
    values: Tensor
    """(B, W, S, T, D); weights @ values is the output of the heads."""
    places: Tensor
    """The index of each token's patch, row by row, or `NOWHERE`: int64 (B, W, T)."""
    grid: Size
    """Patches (h, w) of the image."""
    extra: int
    """Number of tokens before the patches: 1 with CLS, else 0."""
    keep: Tensor | None = None
    """Which keys a query may attend to, bool and broadcastable to the weights; None for all."""

    def of_cls(self, image: int) -> Tensor:
        """Return how much CLS, which the encoder must have, attends to each patch, by head: (S, h, w)."""
        return self._on_grid(self.weights[image, 0, :, 0], self.places[image, 0])

    def of_patch(self, image: int, row: int, column: int) -> Tensor:
        """Return how much a patch attends to each patch, NaN outside its window: (S, h, w).

        Raise ValueError if there is no such patch, or the encoder does not see it.
        """
        if not (0 <= row < self.grid[0] and 0 <= column < self.grid[1]):
            raise ValueError(f'no patch is in row {row}, column {column}: there are {self.grid[0]} x {self.grid[1]}')
        places = self.places[image]
        found = (places == row * self.grid[1] + column).nonzero().tolist()
        if not found:
            raise ValueError(
                f'the encoder does not see the patch in row {row}, column {column}: it is masked or padding'
            )
        window, token = found[0]
        return self._on_grid(self.weights[image, window, :, token], places[window])

    def received(self, image: int) -> Tensor:
        """Return the mean weight that each patch receives from the patches of its window: (S, h, w)."""
        result = self.weights.new_full((self.weights.shape[2], *self.grid), torch.nan)
        for weights, places in zip(self.weights[image], self.places[image], strict=True):
            there = self._on_grid(weights[:, places != NOWHERE].mean(1), places)
            result = torch.where(there.isnan(), result, there)
        return result

    def equal_share(self, image: int) -> float:
        """Return the weight of each patch under uniform attention among those of a full window."""
        return 1 / int((self.places[image] != NOWHERE).sum(1).max())

    def _on_grid(self, shares: Tensor, places: Tensor) -> Tensor:
        """Arrange the weights (S, T) of a window's tokens on the grid of patches, NaN elsewhere: (S, h, w)."""
        laid = shares.new_full((len(shares), self.grid[0] * self.grid[1]), torch.nan)
        there = places != NOWHERE
        laid[:, places[there]] = shares[:, there]
        return laid.unflatten(1, self.grid)


def blocks_of(encoder: nn.Module) -> dict[str, nn.Module]:
    """Return the transformer blocks of an encoder by name, in order; raise ValueError for other libraries' encoders."""
    if isinstance(encoder, MixMIMSwin):
        stages = enumerate(encoder.layers)
        return {f'stage {s} block {b}': block for s, stage in stages for b, block in enumerate(stage.blocks)}
    if isinstance(encoder, MixingViT):
        return {f'block {b}': block for b, block in enumerate(encoder.blocks)}
    raise ValueError(f'the blocks of {type(encoder).__name__} are unknown: use MixMIMSwin or MixingViT')


def last_blocks(encoder: nn.Module) -> list[int]:
    """Return the blocks to inspect by default, the last of each stage that runs, as indices over all stages."""
    if not isinstance(encoder, MixMIMSwin):
        return [max(encoder.out_indices)]
    depths = encoder.arch.depths[: max(encoder.out_indices) + 1]
    return [sum(depths[: stage + 1]) - 1 for stage in range(len(depths))]


@torch.no_grad()
def attention_of(
    encoder: nn.Module, images: Tensor | MixedImages, blocks: Sequence[int] | None = None
) -> dict[str, AttentionWeights]:
    """Encode normalized images (B, C, H, W), or mixtures, and return the attention of blocks by name.

    The encoder should be in evaluation mode. `blocks` are counted over all stages, from 0 or, if negative, from the
    end; None for `last_blocks`. Raise ValueError if a block does not exist or does not run, or the encoder is another
    library's.
    """
    named = list(blocks_of(encoder).items())
    chosen = last_blocks(encoder) if blocks is None else blocks
    wrong = [index for index in chosen if not -len(named) <= index < len(named)]
    if wrong:
        raise ValueError(f'there is no block {wrong[0]}: this encoder has {len(named)}, 0 to {len(named) - 1}')
    wanted = dict(named[index] for index in chosen)
    inputs = _record_inputs(encoder, images, wanted)
    unseen = ', '.join(wanted.keys() - inputs.keys())
    if unseen:
        raise ValueError(f'{unseen} is not run: out_indices {encoder.out_indices} only needs earlier ones')
    mixed, ids_keep = (images.mixed, images.ids_keep) if isinstance(images, MixedImages) else (images, None)
    labels = _label_patches(encoder, mixed, encoder.pad_value if mixed is images else None)
    result = {}
    for name, (x, rule) in inputs.items():
        attention = wanted[name].attn
        ratio = labels.shape[1] // rule.grid[0] if isinstance(rule, Windows) else 1  # from the first stage to this one
        grid = count_tokens(tuple(mixed.shape[-2:]), encoder.patch_size * ratio)
        places = _find_places(labels[:, ::ratio, ::ratio], grid)
        if isinstance(attention, WindowAttention):
            x, bias = rule.partition(x), attention.bias_of(rule.size)
            keep = attention.keys_of(*split_heads(attention.qkv(x), attention.num_heads)[:2], bias, rule)
            result[name] = _in_windows(attention, x, bias, rule, keep, places, grid)
        elif isinstance(attention, WindowedAttention):
            keep = None if rule.keep is None else rule.keep[:, :, None]
            x = rule.partition(x.unflatten(1, rule.grid))
            result[name] = _in_windows(attention, x, 0, rule, keep, places, grid)
        else:
            result[name] = _among_all(attention, x, rule, places.flatten(1) if ids_keep is None else ids_keep, grid)
    return {name: result[name] for name in wanted}


def _record_inputs(
    encoder: nn.Module, images: Tensor | MixedImages, blocks: dict[str, nn.Module]
) -> dict[str, tuple[Tensor, object]]:
    """Encode, and return the inputs of the attention of each block, tokens and rule, by the block's name."""
    recorded: dict[str, tuple[Tensor, object]] = {}
    names = {block.attn: name for name, block in blocks.items()}

    def record(attention: nn.Module, inputs: tuple) -> None:
        recorded[names[attention]] = (*inputs, None)[:2]

    handles = [attention.register_forward_pre_hook(record) for attention in names]
    try:
        if isinstance(images, Tensor):
            encoder(images)
        elif isinstance(encoder, MixingViT):
            encoder.encode(images.mixed, images.assignment, images.ids_keep)
        else:
            encoder(images.mixed, images.assignment)
    finally:
        for handle in handles:
            handle.remove()
    return recorded


def _label_patches(encoder: nn.Module, images: Tensor, pad_value: float | None) -> Tensor:
    """Return the labels of the patches of the first stage, 0 or `PADDING`: int64 (B or 1, h, w)."""
    tokens, labels = encoder.embed_images(images, pad_value, getattr(encoder, 'stride', encoder.patch_size))
    return torch.zeros(1, *tokens.shape[1:3], dtype=torch.int64, device=images.device) if labels is None else labels


def _find_places(labels: Tensor, grid: Size) -> Tensor:
    """Return the index of each token's patch on a grid, or `NOWHERE` for padding: int64 (B or 1, h, w)."""
    rows, columns = (torch.arange(side, device=labels.device) for side in labels.shape[1:])
    return (rows[:, None] * grid[1] + columns).where(labels != PADDING, NOWHERE)


def _in_windows(
    attention: nn.Module,
    x: Tensor,
    bias: Tensor | int,
    windows: Windows,
    keep: Tensor | None,
    places: Tensor,
    grid: Size,
) -> AttentionWeights:
    """Compute the attention weights inside windows, for tokens (B, W, T, C) and their places (B or 1, h, w)."""
    places = windows.partition((places - NOWHERE)[..., None])[..., 0] + NOWHERE  # partition() pads with zeros
    return AttentionWeights(*_weigh(attention, x, bias, keep), places.expand(len(x), -1, -1), grid, 0, keep)


def _among_all(attention: Attention, x: Tensor, rule: object, patches: Tensor, grid: Size) -> AttentionWeights:
    """Compute the attention weights over the whole sequence, as one window, for patches' places (B or 1, n)."""
    extra = x.shape[1] - patches.shape[1]
    query, key, _ = split_heads(attention.qkv(x), attention.num_heads)
    keep = None if rule is None else rule(query, key)[:, None]
    places = nn.functional.pad(patches, (extra, 0), value=NOWHERE)[:, None].expand(len(x), -1, -1)
    return AttentionWeights(*_weigh(attention, x[:, None], 0, keep), places, grid, extra, keep)


def _weigh(attention: nn.Module, x: Tensor, bias: Tensor | int, keep: Tensor | None) -> tuple[Tensor, Tensor]:
    """Compute softmax attention in steps: tokens (B, W, T, C) -> weights (B, W, S, T, T) and values (B, W, S, T, D)."""
    query, key, value = split_heads(attention.qkv(x), attention.num_heads)
    logits = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2) + bias
    if keep is not None:
        logits = logits.masked_fill(~keep, float('-inf'))
    return logits.softmax(dim=-1), value
