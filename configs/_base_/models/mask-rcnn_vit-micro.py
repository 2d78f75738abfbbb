"""Mask R-CNN on the last map of the micro MixedAE's encoder, rescaled to the strides 4, 8 and 16."""

_base_ = ['./mask-rcnn.py', './mask-rcnn_micro.py']

embed_dims = 128

model = dict(
    _base_.micro,
    backbone=dict(
        type='mixmae_mm.MixingViT',
        arch=dict(embed_dims=embed_dims, depth=6, num_heads=4),
        img_size=_base_.image_size,
        patch_size=8,
        window_size=8,
        global_blocks=(2, 5),
        final_norm=False,
        train_positions=True,
        drop_path_rate=0.05,
        pad_value=_base_.pad_value,
    ),
    neck=[
        dict(type='mixmae_mm.ViTPyramid', in_channels=embed_dims, scales=(2, 1, 0.5), halve=True),
        dict(
            type='mmdet.FPN',
            in_channels=[embed_dims // 2, embed_dims, embed_dims],
            out_channels=_base_.micro_channels,
            num_outs=4,
            norm_cfg=dict(type='GN', num_groups=8),
        ),
    ],
)
