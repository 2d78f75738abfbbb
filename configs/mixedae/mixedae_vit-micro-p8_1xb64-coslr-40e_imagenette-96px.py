"""MixedAE, a micro ViT, on the 9469 photos of Imagenette at 96 px, on a CPU.

    python tools/train.py configs/mixedae/mixedae_vit-micro-p8_1xb64-coslr-40e_imagenette-96px.py

Measured here: docs/results.md.
"""

_base_ = './mixedae_vit-micro-p8_1xb64-coslr-40e_shapes-64px.py'

image_size = 96

model = dict(backbone=dict(img_size=image_size), neck=dict(grid_size=image_size // _base_.patch_size))
train_pipeline = [
    dict(step, scale=image_size) if step['type'].endswith('RandomResizedCrop') else step
    for step in _base_.train_pipeline
]
train_dataloader = dict(dataset=dict(data_root='data/imagenette_96/train', pipeline=train_pipeline))
