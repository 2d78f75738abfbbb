"""MAE, large encoder, 1600 epochs on ImageNet-1k: the official schedule.

    tools/dist_train.sh configs/mae/mae_vit-large-p16_32xb128-amp-coslr-1600e_in1k.py 8 --auto-scale-lr

Reported by MAE's repository: 85.95 top-1 after fine-tuning; by mmpretrain for its own run: 85.7. Not run here.
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
train_cfg = dict(max_epochs=1600)
