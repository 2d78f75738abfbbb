"""Fine-tuning of mmpretrain's Swin-T at 224 px on ImageNet-1k, after MixMAE.

    tools/dist_train.sh configs/classification/swin-tiny-w7_8xb128-amp-coslr-100e_in1k.py 8 \
        --cfg-options model.backbone.init_cfg.checkpoint=PRETRAINED.pth

Untuned: the recipe is that of our base MixMIMSwin.
"""

_base_ = [
    '../_base_/models/finetuned_classifier.py',
    '../_base_/datasets/in1k_finetune_224.py',
    '../_base_/schedules/finetune_bs1024.py',
    '../_base_/default_runtime.py',
]

model = dict(
    backbone=dict(
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
