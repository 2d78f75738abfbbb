"""Fine-tuning of the micro MixMIMSwin at 64 px."""

_base_ = '../../../configs/classification/mixmim-swin-micro_1xb64-coslr-10e_imagenette-96px.py'

image_size = 64

model = dict(backbone=dict(img_size=image_size, window_sizes=(8, 8, 4)))
train_pipeline = [
    dict(step, scale=image_size) if step['type'].endswith('RandomResizedCrop') else step
    for step in _base_.train_pipeline
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_pipeline = [
    dict(type='mixmae_mm.LoadImage', mode='BGR'),
    dict(type='mmpretrain.Resize', scale=image_size, backend='pillow', interpolation='bicubic'),
    dict(type='mmpretrain.PackInputs'),
]
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = val_dataloader
