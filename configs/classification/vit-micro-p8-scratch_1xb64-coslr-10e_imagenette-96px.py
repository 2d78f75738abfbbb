"""The micro ViT on Imagenette at 96 px without pre-training: the same budget, without layer decay.

    python tools/train.py configs/classification/vit-micro-p8-scratch_1xb64-coslr-10e_imagenette-96px.py

Measured here: docs/results.md.
"""

_base_ = './vit-micro-p8_1xb64-coslr-10e_imagenette-96px.py'

model = dict(backbone=dict(init_cfg=None))
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=1.0))
