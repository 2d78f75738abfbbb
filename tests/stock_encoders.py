"""Micro encoders of the libraries, as configs, with the side of the cells that each goes with."""

import copy

WIDTHS = dict(embed_dims=[16, 32, 64, 64], depths=[2, 2, 2, 2], num_heads=[1, 2, 2, 2])
TWINS = dict(**WIDTHS, patch_sizes=[4, 2, 2, 2], strides=[4, 2, 2, 2], mlp_ratios=[2, 2, 2, 2], sr_ratios=[8, 4, 2, 1])
SWIN = dict(embed_dims=16, depths=[2, 2, 2, 2], num_heads=[1, 2, 4, 8])
ALL_MAPS = dict(norm_after_stage=True, out_indices=(0, 1, 2, 3))

STOCK = {
    'mmpretrain.SwinTransformer': dict(arch=SWIN, img_size=64, window_size=7, pad_small_map=True),
    'mmpretrain.SwinTransformerV2': dict(
        arch=SWIN | dict(extra_norm_every_n_blocks=0), img_size=64, window_size=4, pad_small_map=True
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
SQUARE = {'mmpretrain.HiViT'}
"""Encoders whose position embedding is square."""


def stock_config(name):
    """Return a copy of an encoder's config, since the libraries change what they are given."""
    return dict(type=name, **copy.deepcopy(STOCK[name]))
