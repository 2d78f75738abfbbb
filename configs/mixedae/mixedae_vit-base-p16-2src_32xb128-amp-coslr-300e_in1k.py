"""MixedAE with two images in a mixture: half of each is masked, and a query keeps half of the keys.

    tools/dist_train.sh configs/mixedae/mixedae_vit-base-p16-2src_32xb128-amp-coslr-300e_in1k.py 8 --auto-scale-lr

Untuned.
"""

_base_ = './mixedae_vit-base-p16_32xb128-amp-coslr-300e_in1k.py'

num_sources = 2

model = dict(data_preprocessor=dict(num_sources=num_sources), backbone=dict(num_sources=num_sources))
