"""MixMAE, a micro encoder, on the 9469 photos of Imagenette at 96 px, on a CPU.

    python tools/train.py configs/mixmae/mixmae_mixmim-swin-micro_1xb64-coslr-40e_imagenette-96px.py

Measured here: docs/results.md.
"""

_base_ = [
    '../_base_/models/mixmae_mixmim-swin-micro.py',
    '../_base_/datasets/images_224.py',
    '../_base_/schedules/pretrain_bs64_micro.py',
    '../_base_/pretrain_runtime.py',
]

image_size = 96

model = dict(
    backbone=dict(img_size=image_size, window_sizes=(12, 12, 6)),
    neck=dict(grid_size=image_size // _base_.cell_size),
)
train_pipeline = [
    dict(step, scale=image_size) if step['type'].endswith('RandomResizedCrop') else step
    for step in _base_.train_pipeline
]
train_dataloader = dict(
    batch_size=_base_.batch_size,
    num_workers=2,
    pin_memory=False,
    dataset=dict(data_root='data/imagenette_96/train', pipeline=train_pipeline),
)

default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval=10))
