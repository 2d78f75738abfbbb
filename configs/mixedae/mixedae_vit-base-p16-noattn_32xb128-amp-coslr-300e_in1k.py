"""MixedAE without homologous attention: every query sees all keys.

    tools/dist_train.sh configs/mixedae/mixedae_vit-base-p16-noattn_32xb128-amp-coslr-300e_in1k.py 8 --auto-scale-lr

Untuned.
"""

_base_ = './mixedae_vit-base-p16_32xb128-amp-coslr-300e_in1k.py'

model = dict(backbone=dict(attention='global'))
