"""The encoder of the micro MixedAE and MAE, with mean pooling, norm and one linear layer as in MAE's fine-tuning."""

num_classes = 14
embed_dims = 128

model = dict(
    type='mmpretrain.ImageClassifier',
    data_preprocessor=dict(
        type='mmpretrain.ClsDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        to_rgb=True,
    ),
    backbone=dict(
        type='mixmae_mm.MixingViT',
        arch=dict(embed_dims=embed_dims, depth=6, num_heads=4),
        img_size=64,
        patch_size=8,
        out_type='avg_featmap',
        train_positions=True,
        drop_path_rate=0.05,
    ),
    neck=dict(type='mmpretrain.GlobalAveragePooling'),
    head=dict(
        type='mmpretrain.LinearClsHead',
        num_classes=num_classes,
        in_channels=embed_dims,
        topk=(1,),
        loss=dict(type='mmpretrain.LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
    ),
)
