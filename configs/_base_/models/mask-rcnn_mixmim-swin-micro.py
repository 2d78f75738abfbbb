"""Mask R-CNN on the three stages of the micro MixMAE's encoder."""

_base_ = ['./mask-rcnn.py', './mask-rcnn_micro.py']

embed_dims = 32

model = dict(
    _base_.micro,
    backbone=dict(
        type='mixmae_mm.MixMIMSwin',
        arch=dict(embed_dims=embed_dims, depths=(1, 2, 1), num_heads=(1, 2, 4)),
        img_size=_base_.image_size,
        patch_size=4,
        window_sizes=(8, 8, 4),
        wide_blocks=(1,),
        wide_window=12,
        out_indices=(0, 1, 2),
        drop_path_rate=0.05,
        pad_value=_base_.pad_value,
    ),
    neck=dict(
        type='mmdet.FPN',
        in_channels=[embed_dims, embed_dims * 2, embed_dims * 4],
        out_channels=_base_.micro_channels,
        num_outs=4,
        norm_cfg=dict(type='GN', num_groups=8),
    ),
)
