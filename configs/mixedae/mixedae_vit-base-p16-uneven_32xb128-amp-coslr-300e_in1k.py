"""MixedAE with uneven mixtures: the first image shows four times as many patches as the last.

    tools/dist_train.sh configs/mixedae/mixedae_vit-base-p16-uneven_32xb128-amp-coslr-300e_in1k.py 8 --auto-scale-lr

A query keeps a quarter of the keys, whichever image it is of. Untuned.
"""

_base_ = './mixedae_vit-base-p16_32xb128-amp-coslr-300e_in1k.py'

model = dict(data_preprocessor=dict(shares=(0.4, 0.3, 0.2, 0.1)))
