"""Numbers of the official MixMIM, models built to match them, and the reconstruction loss in loops."""

from pathlib import Path

import torch
from tiny_mixmae import mixedae, mixmae
from torch import Tensor

from mixmae_mm.mixing import NOBODY, MixedImages, mix_images, visible_ids
from mixmae_mm.models import MixedAE, MixMAE, MixMIMSwin
from mixmae_mm.registry import MODELS

DATA = Path(__file__).parent / 'data'
SHARED = Path(__file__).parents[2] / 'shared' / 'golden'
"""Larger references lie beside the checkout where the project is developed; they are no part of the repository."""


def load_reference(name: str) -> dict:
    folder = DATA if (DATA / name).exists() else SHARED
    return torch.load(folder / name, weights_only=True)


def backbone_settings(config: dict) -> dict:
    return dict(
        type='mixmae_mm.MixMIMSwin',
        arch=dict(embed_dims=config['embed_dim'], depths=config['depths'], num_heads=config['num_heads']),
        img_size=config['img_size'],
        patch_size=config['patch_size'],
        window_sizes=config['window_size'],
    )


def decoder_settings(config: dict, dims: str = 'decoder_dim') -> dict:
    return dict(embed_dims=config[dims], depth=config['decoder_depth'], num_heads=config['decoder_num_heads'])


def build_pretrainer(config: dict) -> MixMAE:
    cell, head = config['encoder_stride'], dict(norm_pix=config['norm_pix_loss'])
    grid, neck = config['img_size'] // cell, decoder_settings(config)
    return MODELS.build(mixmae(backbone_settings(config), config['embed_dim'] * 8, grid, cell, head=head, neck=neck))


def build_encoder(config: dict, **settings: object) -> MixMIMSwin:
    return MODELS.build(backbone_settings(config) | settings)


def build_mae(config: dict) -> MixedAE:
    patch, eps = config['patch_size'], config['norm_eps']
    backbone = dict(
        arch=dict(embed_dims=config['embed_dim'], depth=config['depth'], num_heads=config['num_heads']),
        attention='global',
        img_size=config['img_size'],
        patch_size=patch,
        norm_eps=eps,
    )
    neck = decoder_settings(config, 'decoder_embed_dim') | dict(norm_eps=eps)
    sizes = dict(grid_size=config['img_size'] // patch, cell_size=patch, mask_ratio=config['mask_ratio'])
    return MODELS.build(mixedae(backbone, config['embed_dim'], 1, neck, **sizes))


def our_name(official: str) -> str:
    """Add our prefix to an official name of the pre-training model; nothing else differs."""
    return ('neck.' if official.startswith(('mask_token', 'decoder_')) else 'backbone.') + official


def mix_officially(images: Tensor, mask: Tensor) -> MixedImages:
    """Pair image i with image B - 1 - i under one assignment, in the official order."""
    sources = torch.stack([images, images.flip(0)], dim=1)
    assignment = mask[None].long()
    return MixedImages(mix_images(sources, assignment), sources, assignment)


def mask_officially(stored: dict) -> MixedImages:
    """Mask the images of an MAE reference file with its stored mask."""
    side = stored['config']['img_size'] // stored['config']['patch_size']
    assignment = torch.where(stored['mask'] == 1, NOBODY, 0).view(-1, side, side)
    sources = stored['images'][:, None]
    ids_keep = visible_ids(assignment.flatten(1), int((stored['mask'][0] == 0).sum()))
    return MixedImages(mix_images(sources, assignment), sources, assignment, ids_keep)


def loss_by_loops(predictions: Tensor, images: MixedImages, norm_pix: bool = True) -> Tensor:
    """Compute each masked cell's mean squared error, and average them: the definition, cell by cell."""
    errors, grid = [], images.assignment.shape[-1]
    side = images.sources.shape[-1] // grid
    for g, source, cell in torch.cartesian_prod(*(torch.arange(n) for n in predictions.shape[:3])).tolist():
        row, column = divmod(cell, grid)
        if images.assignment[g if len(images.assignment) > 1 else 0, row, column] == source:
            continue
        rows, columns = (slice(place * side, (place + 1) * side) for place in (row, column))
        target = images.sources[g, source, :, rows, columns].permute(1, 2, 0).flatten()
        if norm_pix:
            target = (target - target.mean()) / (target.var(unbiased=True) + 1e-6).sqrt()
        errors.append((predictions[g, source, cell] - target).square().mean())
    return torch.stack(errors).mean()
