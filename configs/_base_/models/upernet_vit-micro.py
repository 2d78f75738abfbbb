"""UperNet with heads of 64 channels on three blocks of the micro MixedAE's encoder, at the strides 4, 8 and 16."""

_base_ = './upernet_mixmim-swin-micro.py'

embed_dims = 128

model = dict(
    backbone=dict(
        _delete_=True,
        type='mixmae_mm.MixingViT',
        arch=dict(embed_dims=embed_dims, depth=6, num_heads=4),
        img_size=_base_.image_size,
        patch_size=8,
        out_indices=(1, 3, 5),
        final_norm=False,
        train_positions=True,
        drop_path_rate=0.05,
        pad_value=_base_.pad_value,
    ),
    neck=dict(type='mixmae_mm.ViTPyramid', in_channels=embed_dims, scales=(2, 1, 0.5)),
    decode_head=dict(in_channels=[embed_dims] * 3),
    auxiliary_head=dict(in_channels=embed_dims),
)
