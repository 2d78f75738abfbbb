"""The micro ViT on the built-in set without pre-training: the same budget, without layer decay.

    python tools/train.py configs/classification/vit-micro-p8-scratch_1xb64-coslr-10e_materials-64px.py

Untuned.
"""

_base_ = './vit-micro-p8_1xb64-coslr-10e_materials-64px.py'

model = dict(backbone=dict(init_cfg=None))
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=1.0))
