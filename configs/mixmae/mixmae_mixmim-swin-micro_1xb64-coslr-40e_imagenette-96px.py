"""MixMAE, a micro encoder, on the 9469 photos of Imagenette at 96 px, on a CPU.

    python tools/train.py configs/mixmae/mixmae_mixmim-swin-micro_1xb64-coslr-40e_imagenette-96px.py

Measured here: docs/results.md.
"""

_base_ = './mixmae_mixmim-swin-micro_1xb64-coslr-40e_materials-64px.py'

image_size = 96

model = dict(
    backbone=dict(img_size=image_size, window_sizes=(12, 12, 6)),
    neck=dict(grid_size=image_size // _base_.cell_size),
)
train_pipeline = [
    dict(step, scale=image_size) if step['type'].endswith('RandomResizedCrop') else step
    for step in _base_.train_pipeline
]
train_dataloader = dict(dataset=dict(data_root='data/imagenette_96/train', pipeline=train_pipeline))
