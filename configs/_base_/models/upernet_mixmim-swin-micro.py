"""UperNet with heads of 64 channels on the three stages of the micro MixMAE's encoder."""

_base_ = './upernet.py'

image_size = 192
channels = 64
embed_dims = 32
norm_cfg = dict(type='BN', requires_grad=True)

model = dict(
    data_preprocessor=dict(size=(image_size, image_size)),
    backbone=dict(
        type='mixmae_mm.MixMIMSwin',
        arch=dict(embed_dims=embed_dims, depths=(1, 2, 1), num_heads=(1, 2, 4)),
        img_size=image_size,
        patch_size=4,
        window_sizes=(8, 8, 4),
        wide_blocks=(1,),
        wide_window=12,
        out_indices=(0, 1, 2),
        drop_path_rate=0.05,
        pad_value=_base_.pad_value,
    ),
    decode_head=dict(
        in_channels=[embed_dims, embed_dims * 2, embed_dims * 4],
        in_index=[0, 1, 2],
        channels=channels,
        num_classes=11,
        norm_cfg=norm_cfg,
    ),
    auxiliary_head=dict(
        in_channels=embed_dims * 2, in_index=1, channels=channels // 2, num_classes=11, norm_cfg=norm_cfg
    ),
    test_cfg=dict(_delete_=True, mode='whole'),
)
