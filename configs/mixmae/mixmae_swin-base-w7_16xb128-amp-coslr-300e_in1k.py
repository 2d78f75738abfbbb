"""MixMAE with mmpretrain's stock Swin-B as the encoder.

    tools/dist_train.sh configs/mixmae/mixmae_swin-base-w7_16xb128-amp-coslr-300e_in1k.py 8 --auto-scale-lr

Untuned.
"""

_base_ = './mixmae_swin-tiny-w7_16xb128-amp-coslr-300e_in1k.py'

model = dict(backbone=dict(arch='base'), neck=dict(in_channels=128 * 8))
