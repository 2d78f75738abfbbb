"""MixMAE with four images in a mixture: 75 % of each is masked, and each cell is predicted three times.

    tools/dist_train.sh configs/mixmae/mixmae_mixmim-swin-base-w14-4src_16xb128-amp-coslr-600e_in1k.py 8 --auto-scale-lr

Untuned: the official code mixes two images; this is our generalization, which equals it for two.
"""

_base_ = './mixmae_mixmim-swin-base-w14_16xb128-amp-coslr-600e_in1k.py'

model = dict(data_preprocessor=dict(num_sources=4))
