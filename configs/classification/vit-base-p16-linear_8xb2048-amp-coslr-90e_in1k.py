"""Linear probing of the base ViT at 224 px on ImageNet-1k: MAE's official recipe, on the frozen encoder's CLS token.

    tools/dist_train.sh configs/classification/vit-base-p16-linear_8xb2048-amp-coslr-90e_in1k.py 8 \
        --cfg-options model.backbone.init_cfg.checkpoint=PRETRAINED.pth

Reported by MAE's repository with this recipe: 67.8 top-1 (1600 epochs of pre-training); by mmpretrain: 60.8, 65.1 and
67.1 after 300, 800 and 1600 epochs of its own pre-training. Untuned for MixedAE. Not run here.
"""

_base_ = [
    '../_base_/models/vit-base_classifier.py',
    '../_base_/datasets/in1k_linear_224.py',
    '../_base_/schedules/linear_bs16384.py',
    '../_base_/default_runtime.py',
]

model = dict(
    backbone=dict(out_type='cls_token', frozen_stages=12, train_positions=False, drop_path_rate=0.0),
    neck=[
        dict(type='mmpretrain.GlobalAveragePooling'),  # of the 1 x 1 map that holds CLS
        dict(type='mmpretrain.ClsBatchNormNeck', input_features=768),
    ],
    head=dict(
        loss=dict(_delete_=True, type='mmpretrain.CrossEntropyLoss'),
        init_cfg=dict(std=0.01),
    ),
    train_cfg=None,
)
