"""MixedAE, huge encoder with patches of 14 px, 300 epochs on ImageNet-1k; the recipe is the base model's.

    tools/dist_train.sh configs/mixedae/mixedae_vit-huge-p14_32xb128-amp-coslr-300e_in1k.py 8 --auto-scale-lr

Untuned: we know of no settings and no result for this size. Blocks are recomputed in the backward pass to save memory.
"""

_base_ = [
    '../_base_/models/mixedae_vit-base.py',
    '../_base_/datasets/images_224.py',
    '../_base_/schedules/mae_bs4096.py',
    '../_base_/pretrain_runtime.py',
]

patch_size = 14

model = dict(
    data_preprocessor=dict(cell_size=patch_size),
    backbone=dict(arch='huge', patch_size=patch_size, with_cp=True),
    neck=dict(in_channels=1280, grid_size=_base_.image_size // patch_size, cell_size=patch_size),
    head=dict(cell_size=patch_size),
)
train_cfg = dict(max_epochs=300)
default_hooks = dict(checkpoint=dict(interval=10))
