"""UperNet on the four stages of MixMIMSwin-B, for crops of 512 px.

Windows of 16 divide 512 px at every stride; three blocks of the third stage see the whole crop (windows of 32).
"""

_base_ = './upernet.py'

model = dict(
    backbone=dict(
        type='mixmae_mm.MixMIMSwin',
        arch='base',
        img_size=_base_.image_size,
        window_sizes=(16, 16, 16, 16),
        wide_blocks=(5, 11, 17),
        wide_window=32,
        out_indices=(0, 1, 2, 3),
        drop_path_rate=0.1,
        pad_value=_base_.pad_value,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='work_dirs/mixmae_mixmim-swin-base-w14_16xb128-amp-coslr-600e_in1k/epoch_600.pth',
        ),
    ),
    decode_head=dict(in_channels=[128, 256, 512, 1024]),
    auxiliary_head=dict(in_channels=512),
)
