"""MixedAE with a ViT small enough to learn something on a CPU within minutes."""

image_size = 64
patch_size = 8
num_sources = 4
embed_dims = 128

model = dict(
    type='mixmae_mm.MixedAE',
    data_preprocessor=dict(
        type='mixmae_mm.MixingDataPreprocessor',
        num_sources=num_sources,
        cell_size=patch_size,
        take_turns=False,
        shared_assignment=False,
    ),
    backbone=dict(
        type='mixmae_mm.MixedAEViT',
        arch=dict(embed_dims=embed_dims, depth=6, num_heads=4),
        num_sources=num_sources,
        img_size=image_size,
        patch_size=patch_size,
    ),
    neck=dict(
        type='mixmae_mm.MixDecoder',
        in_channels=embed_dims,
        grid_size=image_size // patch_size,
        cell_size=patch_size,
        embed_dims=96,
        depth=1,
        num_heads=4,
        cls_token=True,
        norm_eps=1e-6,
    ),
    head=dict(type='mixmae_mm.MixReconstructionHead', cell_size=patch_size, norm_pix=True),
    contrast=dict(type='mixmae_mm.HomologousContrastiveLoss', temperature=0.25, weight=0.1),
)
