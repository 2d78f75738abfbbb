"""UperNet on four blocks of MixingViT-B, rescaled to the strides 4, 8, 16 and 32, as in mmseg for MAE."""

_base_ = './upernet.py'

embed_dims = 768

model = dict(
    backbone=dict(
        type='mixmae_mm.MixingViT',
        arch='base',
        img_size=_base_.image_size,
        out_indices=(3, 5, 7, 11),
        final_norm=False,
        train_positions=True,
        drop_path_rate=0.1,
        pad_value=_base_.pad_value,
        init_cfg=dict(
            type='Pretrained', checkpoint='work_dirs/mixedae_vit-base-p16_32xb128-amp-coslr-1600e_in1k/epoch_1600.pth'
        ),
    ),
    neck=dict(type='mixmae_mm.ViTPyramid', in_channels=embed_dims, norm_cfg=dict(type='SyncBN')),
    decode_head=dict(in_channels=[embed_dims] * 4, channels=embed_dims),
    auxiliary_head=dict(in_channels=embed_dims),
)
