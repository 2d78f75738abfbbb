"""MixMAE with the micro MixMIMSwin at 64 px, with windows of 2 x 2 or more cells in every stage."""

_base_ = '../../../configs/mixmae/mixmae_mixmim-swin-micro_1xb64-coslr-40e_imagenette-96px.py'

image_size = 64

model = dict(
    backbone=dict(img_size=image_size, window_sizes=(8, 8, 4)),
    neck=dict(grid_size=image_size // _base_.cell_size),
)
train_pipeline = [
    dict(step, scale=image_size) if step['type'].endswith('RandomResizedCrop') else step
    for step in _base_.train_pipeline
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
