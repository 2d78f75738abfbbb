"""Fine-tuning of mmpretrain's Swin-T at 224 px on ImageNet-1k, after MixMAE.

    tools/dist_train.sh configs/classification/swin-tiny-w7_8xb128-amp-coslr-100e_in1k.py 8 \
        --cfg-options model.backbone.init_cfg.checkpoint=PRETRAINED.pth

Untuned: the recipe of our own base encoder.
"""

_base_ = './mixmim-swin-base-w14_8xb128-amp-coslr-100e_in1k.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmpretrain.SwinTransformer',
        arch='tiny',
        img_size=224,
        drop_path_rate=0.1,
        init_cfg=dict(
            type='Pretrained',
            prefix='backbone.',
            checkpoint='work_dirs/mixmae_swin-tiny-w7_16xb128-amp-coslr-300e_in1k/epoch_300.pth',
        ),
    ),
    head=dict(in_channels=96 * 8),
)
