"""MixedAE with a ViT small enough to learn something on a CPU within minutes; method settings as in the base model."""

_base_ = './mixedae_vit-base.py'

image_size = 64
patch_size = 8
embed_dims = 128

model = dict(
    data_preprocessor=dict(cell_size=patch_size),
    backbone=dict(
        arch=dict(_delete_=True, embed_dims=embed_dims, depth=6, num_heads=4),
        img_size=image_size,
        patch_size=patch_size,
    ),
    neck=dict(
        in_channels=embed_dims,
        grid_size=image_size // patch_size,
        cell_size=patch_size,
        embed_dims=96,
        depth=1,
        num_heads=4,
    ),
    head=dict(cell_size=patch_size),
)
