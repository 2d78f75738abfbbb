"""Micro encoders of the libraries, as configs and in a MixMAE, with the side of the cells that each goes with."""

import copy

from tiny_mixmae import parts

from mixmae_mm.models import MixMAE

WIDTHS = dict(embed_dims=[16, 32, 64, 64], depths=[2, 2, 2, 2], num_heads=[1, 2, 2, 2])
TWINS = dict(**WIDTHS, patch_sizes=[4, 2, 2, 2], strides=[4, 2, 2, 2], mlp_ratios=[2, 2, 2, 2], sr_ratios=[8, 4, 2, 1])
SWIN = dict(embed_dims=16, depths=[2, 2, 2, 2], num_heads=[1, 2, 4, 8])
ALL_MAPS = dict(norm_after_stage=True, out_indices=(0, 1, 2, 3))

STOCK = {
    'mmpretrain.SwinTransformer': dict(arch=SWIN, img_size=64, window_size=7, pad_small_map=True, out_indices=range(4)),
    'mmpretrain.SwinTransformerV2': dict(
        **dict(arch=SWIN | dict(extra_norm_every_n_blocks=0), img_size=64, window_size=4, pad_small_map=True),
        out_indices=range(4),
    ),
    'mmdet.SwinTransformer': SWIN | dict(pretrain_img_size=64, window_size=7),
    'mmseg.SwinTransformer': SWIN | dict(pretrain_img_size=64, window_size=7),
    'mmdet.PyramidVisionTransformer': dict(pretrain_img_size=64, embed_dims=16, num_layers=[1, 1, 1, 2]),
    'mmdet.PyramidVisionTransformerV2': dict(embed_dims=16, num_layers=[1, 1, 1, 2]),
    'mmpretrain.PCPVT': dict(arch=TWINS, **ALL_MAPS),
    'mmpretrain.SVT': dict(arch=TWINS | dict(window_sizes=[7, 7, 7, 7]), **ALL_MAPS),
    'mmseg.PCPVT': WIDTHS | dict(norm_after_stage=True, mlp_ratios=[2, 2, 2, 2]),
    'mmseg.SVT': WIDTHS
    | dict(norm_after_stage=True, mlp_ratios=[2, 2, 2, 2], sr_ratios=[8, 4, 2, 1], windiow_sizes=[7, 7, 7, 7]),
    'mmseg.MixVisionTransformer': dict(embed_dims=16, num_layers=[1, 1, 1, 2], num_heads=[1, 2, 4, 8]),
    'mmpretrain.TIMMBackbone': dict(
        **dict(model_name='swin_tiny_patch4_window7_224', features_only=True, feature_cls='getter'),
        **dict(img_size=64, strict_img_size=False, embed_dim=16, depths=(2, 2, 2, 2), num_heads=(1, 2, 4, 8)),
        out_indices=(0, 1, 2, 3),
    ),
    'mmpretrain.HiViT': dict(arch=dict(embed_dims=64, depths=[1, 1, 7], num_heads=2), img_size=64, out_indices=[6]),
}
CELLS = {'mmpretrain.HiViT': 16}
"""Sides in pixels other than 32."""
NARROW = ('PCPVT', 'SVT', 'HiViT')
"""Ends of the names of encoders whose last map has 64 channels, not 128."""


def stock_config(name):
    """Return a copy of an encoder's config, since the libraries change what they are given."""
    return dict(type=name, **copy.deepcopy(STOCK[name]))


def pretrainer(name, backbone=(), **settings):
    """Return a MixMAE for images of 64 px around an encoder, with changes of its config."""
    cell = CELLS.get(name, 32)
    shared = parts(64 if name.endswith(NARROW) else 128, 64 // cell, cell)
    return MixMAE(**shared, backbone=stock_config(name) | dict(backbone), **settings)
