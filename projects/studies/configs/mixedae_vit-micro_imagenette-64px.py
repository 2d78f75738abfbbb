"""MixedAE with the micro ViT at 64 px, on every fifth photo of Imagenette: 1,894 photos, each seen often."""

_base_ = '../../../configs/mixedae/mixedae_vit-micro-p8_1xb64-coslr-40e_imagenette-96px.py'

image_size = 64

model = dict(backbone=dict(img_size=image_size), neck=dict(grid_size=image_size // _base_.patch_size))
train_pipeline = [
    dict(step, scale=image_size) if step['type'].endswith('RandomResizedCrop') else step
    for step in _base_.train_pipeline
]
train_dataloader = dict(dataset=dict(indices=list(range(0, 9469, 5)), pipeline=train_pipeline))
