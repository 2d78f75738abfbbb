"""MAE, large encoder, 800 epochs on ImageNet-1k: half the official schedule.

    tools/dist_train.sh configs/mae/mae_vit-large-p16_32xb128-amp-coslr-800e_in1k.py 8 --auto-scale-lr

Reported by mmpretrain for its own run of 800 epochs: 85.4 top-1 after fine-tuning. Not run here.
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
train_cfg = dict(max_epochs=800)
