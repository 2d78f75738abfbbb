"""MixedAE, large encoder, 800 epochs on ImageNet-1k.

    tools/dist_train.sh configs/mixedae/mixedae_vit-large-p16_32xb128-amp-coslr-800e_in1k.py 8 --auto-scale-lr

Untuned: the recipe is MAE's, and we know of no result for this schedule.
"""

_base_ = './mixedae_vit-base-p16_32xb128-amp-coslr-300e_in1k.py'

model = dict(backbone=dict(arch='large'), neck=dict(in_channels=1024))
train_cfg = dict(max_epochs=800)
