"""MixMAE with an encoder small enough to learn something on a CPU within minutes."""

image_size = 64
patch_size = 4
cell_size = patch_size * 4  # three stages
embed_dims = 32

model = dict(
    type='mixmae_mm.MixMAE',
    data_preprocessor=dict(type='mixmae_mm.MixingDataPreprocessor', num_sources=2, cell_size=cell_size),
    backbone=dict(
        type='mixmae_mm.MixMIMSwin',
        arch=dict(embed_dims=embed_dims, depths=(1, 2, 1), num_heads=(1, 2, 4)),
        img_size=image_size,
        patch_size=patch_size,
        window_sizes=(8, 8, 4),
        out_indices=(2,),
    ),
    neck=dict(
        type='mixmae_mm.MixDecoder',
        in_channels=embed_dims * 4,
        grid_size=image_size // cell_size,
        cell_size=cell_size,
        embed_dims=96,
        depth=1,
        num_heads=4,
    ),
    head=dict(type='mixmae_mm.MixReconstructionHead', cell_size=cell_size, norm_pix=True),
)
