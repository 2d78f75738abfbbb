"""What makes MAE of a MixedAE: one image at a time, most of it masked and the rest encoded with plain attention."""

as_mae = dict(
    type='mixmae_mm.MAE',
    data_preprocessor=dict(num_sources=1, mask_ratio=0.75),
    backbone=dict(num_sources=1, attention='global'),
    contrast=None,
)
