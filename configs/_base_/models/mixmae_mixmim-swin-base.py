"""MixMAE with the base encoder. Other sizes change `arch` and the decoder's `in_channels`, 8 x embed_dims."""

image_size = 224
cell_size = 32  # the encoder's last stride

model = dict(
    type='mixmae_mm.MixMAE',
    data_preprocessor=dict(type='mixmae_mm.MixingDataPreprocessor', num_sources=2, cell_size=cell_size),
    backbone=dict(
        type='mixmae_mm.MixMIMSwin',
        arch='base',
        img_size=image_size,
        window_sizes=(14, 14, 14, 7),
    ),
    neck=dict(
        type='mixmae_mm.MixDecoder',
        in_channels=128 * 8,
        grid_size=image_size // cell_size,
        cell_size=cell_size,
        embed_dims=512,
        depth=8,
        num_heads=16,
    ),
    head=dict(type='mixmae_mm.MixReconstructionHead', cell_size=cell_size, norm_pix=True),
)
