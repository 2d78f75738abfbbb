"""MixedAE, small encoder, 300 epochs on ImageNet-1k; the recipe is the base model's.

    tools/dist_train.sh configs/mixedae/mixedae_vit-small-p16_32xb128-amp-coslr-300e_in1k.py 8 --auto-scale-lr

Untuned: MAE's code has no such size, and we know of no result of MixedAE for it.
"""

_base_ = './mixedae_vit-base-p16_32xb128-amp-coslr-300e_in1k.py'

model = dict(backbone=dict(arch='small'), neck=dict(in_channels=384))
