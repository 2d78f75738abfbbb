"""MAE, small encoder, 300 epochs on ImageNet-1k; the recipe is the base model's.

    tools/dist_train.sh configs/mae/mae_vit-small-p16_32xb128-amp-coslr-300e_in1k.py 8 --auto-scale-lr

Untuned: MAE's code has no such size.
"""

_base_ = [
    '../mixedae/mixedae_vit-base-p16_32xb128-amp-coslr-300e_in1k.py',
    '../_base_/models/as_mae.py',
]

model = dict(
    _base_.as_mae,
    backbone=dict(_base_.as_mae.backbone, arch='small'),
    neck=dict(in_channels=384),
)
