"""Fine-tuning of the small ViT at 224 px on ImageNet-1k.

    tools/dist_train.sh configs/classification/vit-small-p16_8xb128-amp-coslr-100e_in1k.py 8 \
        --cfg-options model.backbone.init_cfg.checkpoint=PRETRAINED.pth

Untuned: the base model's recipe; MAE has no such size.
"""

_base_ = './vit-base-p16_8xb128-amp-coslr-100e_in1k.py'

checkpoint = 'work_dirs/mixedae_vit-small-p16_32xb128-amp-coslr-1600e_in1k/epoch_1600.pth'

model = dict(backbone=dict(arch='small', init_cfg=dict(checkpoint=checkpoint)), head=dict(in_channels=384))
