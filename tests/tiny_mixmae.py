"""A MixMAE and a MixedAE of a few thousand parameters for images of 32 px, as models and as files."""

import json

import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

CELL = 8


def parts(num_sources, norm_pix, dims, mixing, cls_token=False):
    """Make all parts of a method but its encoder, whose last map has `dims` channels."""
    decoder = dict(grid_size=4, cell_size=CELL, embed_dims=16, depth=1, num_heads=2, cls_token=cls_token)
    mixing = dict(num_sources=num_sources, cell_size=CELL) | mixing
    return dict(
        data_preprocessor=dict(type='mixmae_mm.MixingDataPreprocessor', **mixing),
        neck=dict(type='mixmae_mm.MixDecoder', in_channels=dims, **decoder),
        head=dict(type='mixmae_mm.MixReconstructionHead', cell_size=CELL, norm_pix=norm_pix),
    )


def tiny_model(num_sources=2, norm_pix=True, **mixing):
    arch = dict(embed_dims=8, depths=(1, 1, 1, 1), num_heads=(1, 1, 2, 2))
    backbone = dict(type='mixmae_mm.MixMIMSwin', arch=arch, img_size=32, patch_size=1, window_sizes=(4, 4, 4, 4))
    return dict(type='mixmae_mm.MixMAE', backbone=backbone) | parts(num_sources, norm_pix, 64, mixing)


def tiny_mixedae(num_sources=4, norm_pix=True, **mixing):
    """MixedAE, or with one source MAE."""
    mixing = dict(take_turns=False, shared_assignment=False) | mixing
    arch = dict(embed_dims=8, depth=2, num_heads=2)
    return dict(
        type='mixmae_mm.MAE' if num_sources == 1 else 'mixmae_mm.MixedAE',
        backbone=dict(type='mixmae_mm.MixingViT', arch=arch, img_size=32, patch_size=CELL, num_sources=num_sources),
        contrast=None if num_sources == 1 else dict(type='mixmae_mm.HomologousContrastiveLoss'),
    ) | parts(num_sources, norm_pix, 8, mixing, cls_token=True)


def build(method=tiny_model, **settings):
    init_default_scope('mmpretrain')
    return MODELS.build(method(**settings)).eval()


def write_files(folder, method=tiny_model, **settings):
    """Write config.py and checkpoint.pth, the latter with random weights, and return their paths."""
    model = json.loads(json.dumps(method(**settings)))
    dataset = dict(type='mixmae_mm.ImageFolder', data_root=str(folder / 'images'))
    config = Config(dict(model=model, default_scope='mmpretrain', train_dataloader=dict(dataset=dataset)))
    config.dump(folder / 'config.py')
    torch.save(dict(state_dict=build(method, **settings).state_dict()), folder / 'checkpoint.pth')
    return str(folder / 'config.py'), str(folder / 'checkpoint.pth')
