"""MixMAE, huge encoder (655 M parameters), 600 epochs on ImageNet-1k; the recipe is the base model's.

    tools/dist_train.sh configs/mixmae/mixmae_mixmim-swin-huge-w14_16xb128-amp-coslr-600e_in1k.py 8 --auto-scale-lr

Untuned: we know of no settings and no result for this size. Blocks are recomputed in the backward pass to save memory.
"""

_base_ = [
    '../_base_/models/mixmae_mixmim-swin-base.py',
    '../_base_/datasets/images_224.py',
    '../_base_/schedules/mixmae_bs2048.py',
    '../_base_/pretrain_runtime.py',
]

model = dict(backbone=dict(arch='huge', with_cp=True), neck=dict(in_channels=352 * 8))
default_hooks = dict(checkpoint=dict(interval=10))
