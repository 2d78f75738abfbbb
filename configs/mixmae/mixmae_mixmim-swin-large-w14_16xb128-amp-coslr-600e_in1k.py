"""MixMAE, large encoder, 600 epochs on ImageNet-1k; the recipe is the base model's.

    tools/dist_train.sh configs/mixmae/mixmae_mixmim-swin-large-w14_16xb128-amp-coslr-600e_in1k.py 8 --auto-scale-lr

Reported by the authors: 85.9 top-1 after fine-tuning at 224 px, 86.9 at 384 px; their settings for this size are not
published, so these are untuned. Not run here.
"""

_base_ = './mixmae_mixmim-swin-base-w14_16xb128-amp-coslr-600e_in1k.py'

model = dict(backbone=dict(arch='large'), neck=dict(in_channels=192 * 8))
