"""MixedAE, large encoder, 300 epochs on ImageNet-1k; the recipe is the base model's, since MAE has one for all sizes.

    tools/dist_train.sh configs/mixedae/mixedae_vit-large-p16_32xb128-amp-coslr-300e_in1k.py 8 --auto-scale-lr

Untuned: we know of no settings of MixedAE for this size and no result for 300 epochs.
"""

_base_ = './mixedae_vit-base-p16_32xb128-amp-coslr-300e_in1k.py'

model = dict(backbone=dict(arch='large'), neck=dict(in_channels=1024))
