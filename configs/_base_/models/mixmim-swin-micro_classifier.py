"""The encoder of the micro MixMAE with mean pooling and one linear layer."""

num_classes = 14
embed_dims = 32

model = dict(
    type='mmpretrain.ImageClassifier',
    data_preprocessor=dict(
        type='mmpretrain.ClsDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        to_rgb=True,
    ),
    backbone=dict(
        type='mixmae_mm.MixMIMSwin',
        arch=dict(embed_dims=embed_dims, depths=(1, 2, 1), num_heads=(1, 2, 4)),
        img_size=64,
        patch_size=4,
        window_sizes=(8, 8, 4),
        out_indices=(2,),
        drop_path_rate=0.05,
    ),
    neck=dict(type='mmpretrain.GlobalAveragePooling'),
    head=dict(
        type='mmpretrain.LinearClsHead',
        num_classes=num_classes,
        in_channels=embed_dims * 4,
        topk=(1,),
        loss=dict(type='mmpretrain.LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
    ),
)
