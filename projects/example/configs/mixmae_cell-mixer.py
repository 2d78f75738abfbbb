"""A custom backbone, pre-trained with MixMAE."""

_base_ = 'mixmae_mm::mixmae/mixmae_mixmim-swin-micro_1xb64-coslr-40e_materials-64px.py'

custom_imports = dict(imports=['my_mixing'], allow_failed_imports=False)
model = dict(backbone=dict(_delete_=True, type='mixmae_mm.CellMixer', img_size=64, cell_size=16, embed_dims=128))
