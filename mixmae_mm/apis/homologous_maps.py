"""Which patches of a mixture a MixedAE recognizes as patches of the same image.

Letters: B images, G mixtures, C channels, H x W pixels, N patches, S heads.
"""

import torch
from mmengine.model import BaseModel
from torch import Tensor, nn

from mixmae_mm.apis.reconstruction_inferencer import mix_once
from mixmae_mm.mixing import MixedImages, resize_assignment, scatter_tokens
from mixmae_mm.models.utils.attention import Select
from mixmae_mm.structures import Recognition


class _Recorded(Select):
    """A rule of attention that records which keys it keeps."""

    def __init__(self, rule: Select) -> None:
        self.rule = rule

    def __call__(self, query: Tensor, key: Tensor) -> Tensor:
        """Choose as the rule does."""
        self.kept = self.rule(query, key)
        return self.kept


def last_recognizing_block(backbone: nn.Module) -> int | None:
    """Return the index of the last block whose queries choose keys; None if the encoder has none."""
    if getattr(backbone, 'attention', None) != 'homologous' or backbone.num_sources < 2:
        return None
    return max((block for block in backbone.homologous_layers if block <= max(backbone.out_indices)), default=None)


@torch.no_grad()
def recognize(model: BaseModel, images: Tensor, seed: int) -> Recognition | None:
    """Mix images (B, C, H, W) as `reconstruct` does, and return which keys are kept; None if none are chosen."""
    block = last_recognizing_block(model.backbone)
    if block is None:
        return None
    mixtures = mix_once(model.data_preprocessor, images, seed)
    kept = _record(model, model.backbone.blocks[block].attn, mixtures)
    patch = model.backbone.patch_size
    grid = mixtures.mixed.shape[-2] // patch, mixtures.mixed.shape[-1] // patch
    shares = _lay_out(kept.float().mean(1), mixtures.ids_keep, grid[0] * grid[1])
    owners = resize_assignment(mixtures.assignment, grid).expand(len(mixtures.mixed), -1, -1)
    return Recognition(model.data_preprocessor.denormalize(mixtures.mixed), owners, shares, block, kept.shape[1])


def _lay_out(shares: Tensor, visible: Tensor | None, num_patches: int) -> Tensor:
    """Drop CLS, and insert zeros for masked patches: (G, T, T) -> (G, N, N)."""
    if visible is None:
        return shares[:, -num_patches:, -num_patches:]
    encoded = shares[:, -visible.shape[1] :, -visible.shape[1] :]
    by_column = scatter_tokens(encoded.transpose(1, 2), visible, num_patches)
    return scatter_tokens(by_column.transpose(1, 2), visible, num_patches)


def _record(model: BaseModel, attention: nn.Module, images: MixedImages) -> Tensor:
    """Encode mixtures, and return what an attention's rule kept, (G, S, T, T)."""
    rules = []

    def put_between(_: nn.Module, inputs: tuple) -> tuple:
        rules.append(_Recorded(inputs[1]))
        return inputs[0], rules[0]

    handle = attention.register_forward_pre_hook(put_between)
    try:
        model.encode(images)
    finally:
        handle.remove()
    return rules[0].kept
