"""Mask R-CNN on the four stages of MixMIMSwin-B, for images of about 1024 px.

Windows of 16 divide 1024 px at every stride. They are not shifted, so no information would pass between them before the
last stage; three blocks of the third stage therefore have windows of 32 (our adaptation: the official code has none).
"""

_base_ = './mask-rcnn.py'

model = dict(
    backbone=dict(
        type='mixmae_mm.MixMIMSwin',
        arch='base',
        img_size=1024,
        window_sizes=(16, 16, 16, 16),
        wide_blocks=(5, 11, 17),
        wide_window=32,
        out_indices=(0, 1, 2, 3),
        drop_path_rate=0.2,
        pad_value=_base_.pad_value,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='work_dirs/mixmae_mixmim-swin-base-w14_16xb128-amp-coslr-600e_in1k/epoch_600.pth',
        ),
    ),
    neck=dict(type='mmdet.FPN', in_channels=[128, 256, 512, 1024], out_channels=_base_.channels, num_outs=5),
)
