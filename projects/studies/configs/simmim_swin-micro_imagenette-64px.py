"""SimMIM with the micro Swin at 64 px, with windows of 4 x 4."""

_base_ = '../../../configs/simmim/simmim_swin-micro_1xb64-coslr-40e_imagenette-96px.py'

image_size = 64

model = dict(backbone=dict(img_size=image_size, stage_cfgs=dict(block_cfgs=dict(window_size=4))))
train_pipeline = [
    dict(step, scale=image_size)
    if step['type'].endswith('RandomResizedCrop')
    else dict(step, input_size=image_size)
    if step['type'].endswith('MaskGenerator')
    else step
    for step in _base_.train_pipeline
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
