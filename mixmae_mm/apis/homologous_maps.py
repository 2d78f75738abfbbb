"""The patches of a mixture that a MixedAE recognizes as patches of the same image.

Letters: B images, G mixtures, C channels, H x W pixels, N patches.
"""

import torch
from mmengine.model import BaseModel
from torch import Tensor

from mixmae_mm.apis.attention_maps import attention_of
from mixmae_mm.apis.reconstruction_inferencer import mix_once
from mixmae_mm.mixing import resize_assignment, scatter_tokens
from mixmae_mm.models import MixingViT
from mixmae_mm.structures import HomologousMaps


@torch.no_grad()
def homologous_maps_of(model: BaseModel, images: Tensor, seed: int) -> HomologousMaps | None:
    """Mix images (B, C, H, W) as `reconstruct` does; return the keys kept by the last block that selects any."""
    encoder = model.backbone
    if getattr(encoder, 'attention', None) != 'homologous' or not isinstance(encoder, MixingViT):
        return None  # in a MixMIMSwin, patches cannot recognize others beyond their window
    if encoder.num_sources < 2:
        return None
    block = max((block for block in encoder.homologous_layers if block <= max(encoder.out_indices)), default=None)
    if block is None:
        return None
    mixtures = mix_once(model.data_preprocessor, images, seed)
    (attention,) = attention_of(encoder, mixtures, [block]).values()
    kept = attention.keep[:, 0].float().mean(1)[:, attention.extra :, attention.extra :]
    if mixtures.ids_keep is not None:  # masked patches keep no key and are kept by no query
        num_patches = attention.grid[0] * attention.grid[1]
        kept = scatter_tokens(kept.mT, mixtures.ids_keep, num_patches)
        kept = scatter_tokens(kept.mT, mixtures.ids_keep, num_patches)
    owners = resize_assignment(mixtures.assignment, attention.grid).expand(len(mixtures.mixed), -1, -1)
    mixed = model.data_preprocessor.denormalize(mixtures.mixed)
    return HomologousMaps(mixed, owners, kept, block, attention.weights.shape[2])
