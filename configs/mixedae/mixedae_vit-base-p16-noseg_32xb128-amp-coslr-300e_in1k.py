"""MixedAE without segment embedding: nothing tells the encoder which patches belong together.

    tools/dist_train.sh configs/mixedae/mixedae_vit-base-p16-noseg_32xb128-amp-coslr-300e_in1k.py 8 --auto-scale-lr

Untuned.
"""

_base_ = './mixedae_vit-base-p16_32xb128-amp-coslr-300e_in1k.py'

model = dict(backbone=dict(segment_embedding=False))
