"""Mask R-CNN on the last map of MixedAEViT-B, as ViTDet (Li et al. 2022): windows of 14, four blocks that see all."""

_base_ = './mask-rcnn.py'

embed_dims = 768

model = dict(
    backbone=dict(
        type='mixmae_mm.MixedAEViT',
        arch='base',
        img_size=1024,
        window_size=14,
        global_blocks=(2, 5, 8, 11),
        final='raw',
        train_positions=True,
        drop_path_rate=0.1,
        pad_value=_base_.pad_value,
        init_cfg=dict(
            type='Pretrained', checkpoint='work_dirs/mixedae_vit-base-p16_32xb128-amp-coslr-1600e_in1k/epoch_1600.pth'
        ),
    ),
    neck=[
        dict(type='mixmae_mm.ViTPyramid', in_channels=embed_dims, halve=True),
        dict(
            type='mmdet.FPN',
            in_channels=[embed_dims // 4, embed_dims // 2, embed_dims, embed_dims],
            out_channels=_base_.channels,
            num_outs=5,
        ),
    ],
)
