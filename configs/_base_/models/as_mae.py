"""Overrides that turn MixedAE into MAE: one image at a time, 75 % of it masked, plain attention, no contrast."""

as_mae = dict(
    type='mixmae_mm.MAE',
    data_preprocessor=dict(num_sources=1, mask_ratio=0.75),
    backbone=dict(num_sources=1, attention='global'),
    contrast=None,
)
