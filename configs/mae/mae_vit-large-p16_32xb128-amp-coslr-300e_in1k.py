"""MAE, large encoder, 300 epochs on ImageNet-1k: the official recipe with fewer epochs.

    tools/dist_train.sh configs/mae/mae_vit-large-p16_32xb128-amp-coslr-300e_in1k.py 8 --auto-scale-lr

Untuned: we know of no result for 300 epochs.
"""

_base_ = [
    '../mixedae/mixedae_vit-base-p16_32xb128-amp-coslr-300e_in1k.py',
    '../_base_/models/as_mae.py',
]

model = dict(
    _base_.as_mae,
    backbone=dict(_base_.as_mae.backbone, arch='large'),
    neck=dict(in_channels=1024),
)
