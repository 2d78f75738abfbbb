"""MixedAE with eight images in a mixture: each shows 24 or 25 of its 196 patches, and a query keeps 24.

    tools/dist_train.sh configs/mixedae/mixedae_vit-base-p16-8src_32xb128-amp-coslr-300e_in1k.py 8 --auto-scale-lr

Untuned.
"""

_base_ = './mixedae_vit-base-p16_32xb128-amp-coslr-300e_in1k.py'

num_sources = 8

model = dict(data_preprocessor=dict(num_sources=num_sources), backbone=dict(num_sources=num_sources))
