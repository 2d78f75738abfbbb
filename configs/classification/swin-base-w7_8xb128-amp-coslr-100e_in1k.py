"""Fine-tuning of mmpretrain's Swin-B at 224 px on ImageNet-1k, after MixMAE.

    tools/dist_train.sh configs/classification/swin-base-w7_8xb128-amp-coslr-100e_in1k.py 8 \
        --cfg-options model.backbone.init_cfg.checkpoint=PRETRAINED.pth

Untuned.
"""

_base_ = './swin-tiny-w7_8xb128-amp-coslr-100e_in1k.py'

checkpoint = 'work_dirs/mixmae_swin-base-w7_16xb128-amp-coslr-300e_in1k/epoch_300.pth'

model = dict(
    backbone=dict(arch='base', drop_path_rate=0.1, init_cfg=dict(checkpoint=checkpoint)),
    head=dict(in_channels=128 * 8),
)
