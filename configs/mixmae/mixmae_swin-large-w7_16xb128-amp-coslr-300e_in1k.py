"""MixMAE with mmpretrain's stock Swin-L as the encoder.

    tools/dist_train.sh configs/mixmae/mixmae_swin-large-w7_16xb128-amp-coslr-300e_in1k.py 8 --auto-scale-lr

Untuned.
"""

_base_ = './mixmae_swin-tiny-w7_16xb128-amp-coslr-300e_in1k.py'

model = dict(backbone=dict(arch='large'), neck=dict(in_channels=192 * 8))
