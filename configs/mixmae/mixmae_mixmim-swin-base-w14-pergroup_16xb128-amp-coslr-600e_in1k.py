"""MixMAE with a separate assignment for each pair of images, instead of one for the whole batch.

    tools/dist_train.sh configs/mixmae/mixmae_mixmim-swin-base-w14-pergroup_16xb128-amp-coslr-600e_in1k.py 8 --auto-scale-lr

Untuned: the official code shares one assignment.
"""

_base_ = './mixmae_mixmim-swin-base-w14_16xb128-amp-coslr-600e_in1k.py'

model = dict(data_preprocessor=dict(shared_assignment=False))
