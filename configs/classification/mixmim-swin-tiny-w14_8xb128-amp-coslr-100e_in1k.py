"""Fine-tuning of the tiny encoder at 224 px on ImageNet-1k.

    tools/dist_train.sh configs/classification/mixmim-swin-tiny-w14_8xb128-amp-coslr-100e_in1k.py 8 \
        --cfg-options model.backbone.init_cfg.checkpoint=PRETRAINED.pth

Untuned: the base model's recipe; the paper has no tiny model.
"""

_base_ = './mixmim-swin-base-w14_8xb128-amp-coslr-100e_in1k.py'

checkpoint = 'work_dirs/mixmae_mixmim-swin-tiny-w14_1xb128-accu16-amp-coslr-300e_in1k/epoch_300.pth'

model = dict(backbone=dict(arch='tiny', init_cfg=dict(checkpoint=checkpoint)), head=dict(in_channels=96 * 8))
