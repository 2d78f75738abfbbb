"""The base encoder with mean pooling and one linear layer, as the official fine-tuning has it.

The head starts at nearly zero, the encoder from the checkpoint that the pre-training config writes.
"""

num_classes = 1000

model = dict(
    type='mmpretrain.ImageClassifier',
    data_preprocessor=dict(
        type='mmpretrain.ClsDataPreprocessor',
        num_classes=num_classes,
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        to_rgb=True,  # mmpretrain's loader and colour transforms work on BGR
    ),
    backbone=dict(
        type='mixmae_mm.MixMIMSwin',
        arch='base',
        img_size=224,
        window_sizes=(14, 14, 14, 7),
        drop_path_rate=0.1,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='work_dirs/mixmae_mixmim-swin-base-w14_16xb128-amp-coslr-600e_in1k/epoch_600.pth',
            prefix='backbone.',
        ),
    ),
    neck=dict(type='mmpretrain.GlobalAveragePooling'),
    head=dict(
        type='mmpretrain.LinearClsHead',
        num_classes=num_classes,
        in_channels=128 * 8,
        loss=dict(type='mmpretrain.LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
        init_cfg=dict(type='TruncNormal', layer='Linear', std=2e-5),
    ),
    train_cfg=dict(augments=[dict(type='Mixup', alpha=0.8), dict(type='CutMix', alpha=1.0)]),  # one or the other
)
