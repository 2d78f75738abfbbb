"""A MixMAE and a MixedAE of a few thousand parameters for images of 32 px, as models and as files."""

import json
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

CELL = 8
SWIN = dict(embed_dims=8, depths=(1, 1, 1, 1), num_heads=(1, 1, 2, 2))
VIT = dict(embed_dims=8, depth=2, num_heads=2)


def parts(dims, grid_size=4, cell_size=CELL, head=None, neck=None, **mixing):
    """Make the config of all parts but the encoder, whose last map has `dims` channels."""
    decoder = dict(embed_dims=16, depth=1, num_heads=2) | (neck or {})
    return dict(
        data_preprocessor=dict(type='mixmae_mm.MixingDataPreprocessor', cell_size=cell_size, **mixing),
        neck=dict(type='mixmae_mm.MixDecoder', in_channels=dims, grid_size=grid_size, cell_size=cell_size, **decoder),
        head=dict(type='mixmae_mm.MixReconstructionHead', cell_size=cell_size, **(head or {})),
    )


def mixmae(backbone, dims, *sizes, **settings):
    """Make the config of a MixMAE."""
    backbone = dict(type='mixmae_mm.MixMIMSwin') | backbone
    return dict(type='mixmae_mm.MixMAE', backbone=backbone) | parts(dims, *sizes, **settings)


def mixedae(backbone, dims, num_sources=4, neck=None, **settings):
    """Make the config of a MixedAE, or with one source of MAE."""
    settings = dict(take_turns=False, shared_assignment=False) | settings
    return dict(
        type='mixmae_mm.MAE' if num_sources == 1 else 'mixmae_mm.MixedAE',
        backbone=dict(type='mixmae_mm.MixingViT', num_sources=num_sources, **backbone),
        contrast=None if num_sources == 1 else dict(type='mixmae_mm.HomologousContrastiveLoss'),
    ) | parts(dims, num_sources=num_sources, neck=dict(cls_token=True) | (neck or {}), **settings)


def tiny_model(num_sources=2, norm_pix=True, **mixing):
    backbone = dict(arch=SWIN, img_size=32, patch_size=1, window_sizes=(4, 4, 4, 4))
    return mixmae(backbone, 64, head=dict(norm_pix=norm_pix), num_sources=num_sources, **mixing)


def tiny_mixedae(num_sources=4, norm_pix=True, **mixing):
    backbone = dict(arch=VIT, img_size=32, patch_size=CELL)
    return mixedae(backbone, 8, num_sources, head=dict(norm_pix=norm_pix), **mixing)


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


def write_run(folder, images, method=tiny_model, **settings):
    """Write a folder as a training on eight images leaves it, and return it."""
    folder.mkdir()
    config, checkpoint = map(Path, write_files(folder, method, **settings))
    text = Config.fromfile(config)
    text.train_dataloader.dataset.update(data_root=str(images), indices=8)
    text.dump(config)
    (folder / 'last_checkpoint').write_text(str(checkpoint))
    return folder
