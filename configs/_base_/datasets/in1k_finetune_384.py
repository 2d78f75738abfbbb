"""ImageNet-1k at 384 px: as at 224 px, but testing crops the full short side, as timm does above 224 px."""

_base_ = './in1k_finetune_224.py'

image_size = 384
train_pipeline = [
    dict(step, scale=image_size) if step['type'].endswith('RandomResizedCrop') else step
    for step in _base_.train_pipeline
]
test_pipeline = [
    dict(type='mixmae_mm.LoadImage', mode='BGR'),
    dict(type='mmpretrain.ResizeEdge', scale=image_size, edge='short', backend='pillow', interpolation='bicubic'),
    dict(type='mmpretrain.CenterCrop', crop_size=image_size),
    dict(type='mmpretrain.PackInputs'),
]

train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
