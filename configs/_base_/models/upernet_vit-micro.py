"""UperNet with heads of 64 channels on three blocks of the micro MixedAE's encoder, at the strides 4, 8 and 16."""

_base_ = './upernet.py'

image_size = 192
channels = 64
embed_dims = 128
norm_cfg = dict(type='BN', requires_grad=True)

model = dict(
    data_preprocessor=dict(size=(image_size, image_size)),
    backbone=dict(
        type='mixmae_mm.MixingViT',
        arch=dict(embed_dims=embed_dims, depth=6, num_heads=4),
        img_size=image_size,
        patch_size=8,
        out_indices=(1, 3, 5),
        final_norm=False,
        train_positions=True,
        drop_path_rate=0.05,
        pad_value=_base_.pad_value,
    ),
    neck=dict(type='mixmae_mm.ViTPyramid', in_channels=embed_dims, scales=(2, 1, 0.5)),
    decode_head=dict(
        in_channels=[embed_dims] * 3, in_index=[0, 1, 2], channels=channels, num_classes=11, norm_cfg=norm_cfg
    ),
    auxiliary_head=dict(in_channels=embed_dims, in_index=1, channels=channels // 2, num_classes=11, norm_cfg=norm_cfg),
    test_cfg=dict(_delete_=True, mode='whole'),
)
