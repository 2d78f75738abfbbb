"""The base encoder as a classifier, initialized from the checkpoint of the pre-training config."""

_base_ = './finetuned_classifier.py'

model = dict(
    backbone=dict(
        type='mixmae_mm.MixMIMSwin',
        arch='base',
        img_size=224,
        window_sizes=(14, 14, 14, 7),
        drop_path_rate=0.1,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='work_dirs/mixmae_mixmim-swin-base-w14_16xb128-amp-coslr-600e_in1k/epoch_600.pth',
        ),
    ),
    head=dict(in_channels=128 * 8),
)
