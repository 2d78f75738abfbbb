"""Numbers of the official MixMIM, and models built to match them."""

from pathlib import Path

import torch
from torch import Tensor

from mixmae_mm.mixing import MixedImages, mix_images
from mixmae_mm.models import MixMAE, MixMIMSwin
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


def build_pretrainer(config: dict) -> MixMAE:
    cell = config['encoder_stride']
    return MODELS.build(
        dict(
            type='mixmae_mm.MixMAE',
            data_preprocessor=dict(type='mixmae_mm.MixingDataPreprocessor', cell_size=cell),
            backbone=backbone_settings(config),
            neck=dict(
                type='mixmae_mm.MixDecoder',
                in_channels=config['embed_dim'] * 8,
                grid_size=config['img_size'] // cell,
                cell_size=cell,
                embed_dims=config['decoder_dim'],
                depth=config['decoder_depth'],
                num_heads=config['decoder_num_heads'],
            ),
            head=dict(type='mixmae_mm.MixReconstructionHead', cell_size=cell, norm_pix=config['norm_pix_loss']),
        )
    )


def build_encoder(config: dict, **settings: object) -> MixMIMSwin:
    return MODELS.build(backbone_settings(config) | settings)


def our_name(official: str) -> str:
    """Prefix an official name of the pre-training model: nothing else differs."""
    return ('neck.' if official.startswith(('mask_token', 'decoder_')) else 'backbone.') + official


def mix_officially(images: Tensor, mask: Tensor) -> MixedImages:
    """Pair image i with image B - 1 - i under one map, in the official order."""
    sources = torch.stack([images, images.flip(0)], dim=1)
    assignment = mask[None].long()
    return MixedImages(mix_images(sources, assignment), sources, assignment)
