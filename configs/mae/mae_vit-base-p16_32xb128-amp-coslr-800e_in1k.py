"""MAE, base encoder, 800 epochs on ImageNet-1k: half the official schedule.

    tools/dist_train.sh configs/mae/mae_vit-base-p16_32xb128-amp-coslr-800e_in1k.py 8 --auto-scale-lr

Reported by mmpretrain for its own run of 800 epochs: 83.3 top-1 after fine-tuning. Not run here.
"""

_base_ = [
    '../mixedae/mixedae_vit-base-p16_32xb128-amp-coslr-300e_in1k.py',
    '../_base_/models/as_mae.py',
]

model = _base_.as_mae
train_cfg = dict(max_epochs=800)
