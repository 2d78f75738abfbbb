"""A variant: the micro MixMAE with four images in a mixture."""

_base_ = 'mixmae_mm::mixmae/mixmae_mixmim-swin-micro_1xb64-coslr-40e_materials-64px.py'

model = dict(data_preprocessor=dict(num_sources=4))
