"""Weights under the names and in the layouts of other code: MAE's official ones, random, and mmpretrain's."""

import re

import torch
from references import load_reference
from tiny_mixmae import parts

from mixmae_mm.registry import MODELS

MICRO = load_reference('mixmim_pretrain_micro.pt')


def random_mae(layout='pretraining', dims=8, depth=2, decoder_depth=1, grid=4):
    """Return random weights under the official names: patches of 4 px, a decoder of 8 channels, 5 classes."""
    generator = torch.Generator().manual_seed(3)
    shapes = {
        'cls_token': (1, 1, dims),
        'pos_embed': (1, grid**2 + 1, dims),
        'patch_embed.proj.weight': (dims, 3, 4, 4),
    }
    shapes |= {'patch_embed.proj.bias': (dims,)}
    pretraining = layout == 'pretraining'
    for blocks, number, width in (('blocks', depth, dims), ('decoder_blocks', decoder_depth if pretraining else 0, 8)):
        for index in range(number):
            sides = dict([('attn.qkv', (3, 1)), ('attn.proj', (1, 1)), ('mlp.fc1', (4, 1)), ('mlp.fc2', (1, 4))])
            for name, (rows, columns) in sides.items():
                shapes[f'{blocks}.{index}.{name}.weight'] = (rows * width, columns * width)
                shapes[f'{blocks}.{index}.{name}.bias'] = (rows * width,)
            for kind in ('norm1.weight', 'norm1.bias', 'norm2.weight', 'norm2.bias'):
                shapes[f'{blocks}.{index}.{kind}'] = (width,)
    norm = 'norm' if pretraining else 'fc_norm'
    shapes |= {f'{norm}.weight': (dims,), f'{norm}.bias': (dims,)}
    if pretraining:
        shapes |= {'mask_token': (1, 1, 8), 'decoder_pos_embed': (1, grid**2 + 1, 8), 'decoder_embed.weight': (8, dims)}
        shapes |= {'decoder_embed.bias': (8,), 'decoder_norm.weight': (8,), 'decoder_norm.bias': (8,)}
        shapes |= {'decoder_pred.weight': (48, 8), 'decoder_pred.bias': (48,)}
    else:
        shapes |= {'head.weight': (5, dims), 'head.bias': (5,)}
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def vit(dims=8, depth=2, grid=4, **settings):
    arch = dict(embed_dims=dims, depth=depth, num_heads=2)
    return dict(type='mixmae_mm.MixingViT', arch=arch, img_size=4 * grid, patch_size=4, **settings)


def build_mae(init_cfg=None, num_sources=1, grid=4, backbone_init=None):
    mixing = dict(num_sources=num_sources, take_turns=False) | (dict(mask_ratio=0.75) if num_sources == 1 else {})
    backbone = vit(grid=grid, num_sources=num_sources, init_cfg=backbone_init)
    model = dict(type='mixmae_mm.MixedAE', backbone=backbone, init_cfg=init_cfg)
    return MODELS.build(model | parts(8, grid, 4, neck=dict(embed_dims=8, cls_token=True), **mixing))


RENAMED = {'patch_embed.proj': 'patch_embed.projection', '.mlp.fc1': '.ffn.layers.0.0', '.mlp.fc2': '.ffn.layers.1',
           '.norm1.': '.ln1.', '.norm2.': '.ln2.', 'decoder_norm': 'ln1'}  # fmt: skip
"""What mmpretrain's names differ in, written out by hand rather than by our own rules."""


def like_mmpretrain(name):
    for ours, theirs in RENAMED.items():
        name = name.replace(ours, theirs)
    return name


def mixmim_like_mmpretrain():
    """Return the micro reference under mmpretrain's names and in its order."""
    renamed = {}
    for name, x in MICRO['state_dict'].items():
        part = 'neck.' if name.startswith(('mask_token', 'decoder_')) else 'backbone.'
        renamed[part + like_mmpretrain(name)] = unfold_order(x) if 'downsample' in name else x
    return renamed


def unfold_order(x):
    """Put each of the 4 * C columns where nn.Unfold has it: channel * 4 + 2 * row + column."""
    channels = x.shape[-1] // 4
    out = torch.empty_like(x)
    for place, (row, column) in enumerate([(0, 0), (1, 0), (0, 1), (1, 1)]):
        for channel in range(channels):
            out[..., channel * 4 + 2 * row + column] = x[..., place * channels + channel]
    return out


def mae_like_mmpretrain(file):
    """Return a MAE under mmpretrain's names."""
    renamed = {}
    for name, x in file.items():
        if name.startswith(('mask_token', 'decoder_')):
            renamed['neck.' + like_mmpretrain(name)] = x
        else:
            name = re.sub(r'^norm\.', 'ln1.', re.sub(r'^blocks\.', 'layers.', like_mmpretrain(name)))
            renamed['backbone.' + name] = x
    return renamed
