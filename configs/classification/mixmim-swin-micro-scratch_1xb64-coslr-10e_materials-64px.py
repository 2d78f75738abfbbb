"""The micro encoder on the built-in set without pre-training: the same budget, without layer decay.

    python tools/train.py configs/classification/mixmim-swin-micro-scratch_1xb64-coslr-10e_materials-64px.py

Untuned.
"""

_base_ = './mixmim-swin-micro_1xb64-coslr-10e_materials-64px.py'

model = dict(backbone=dict(init_cfg=None))
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=1.0))
