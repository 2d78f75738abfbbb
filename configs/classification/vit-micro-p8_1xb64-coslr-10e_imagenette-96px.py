"""Fine-tuning of the micro ViT on Imagenette at 96 px (10 classes), on a CPU.

    python tools/train.py configs/classification/vit-micro-p8_1xb64-coslr-10e_imagenette-96px.py \
        --cfg-options model.backbone.init_cfg.checkpoint=PRETRAINED.pth

Without the option, training starts from the checkpoint of MixedAE's pre-training config.

Measured here: docs/results.md.
"""

_base_ = './vit-micro-p8_1xb64-coslr-10e_materials-64px.py'

image_size = 96
data_root = 'data/imagenette_96'
checkpoint = 'work_dirs/mixedae_vit-micro-p8_1xb64-coslr-40e_imagenette-96px/epoch_40.pth'

model = dict(backbone=dict(img_size=image_size, init_cfg=dict(checkpoint=checkpoint)), head=dict(num_classes=10))
train_pipeline = [
    dict(step, scale=image_size) if step['type'].endswith('RandomResizedCrop') else step
    for step in _base_.train_pipeline
]
train_dataloader = dict(dataset=dict(data_root=data_root, pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = val_dataloader
