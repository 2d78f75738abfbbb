"""The same without pre-training, and without layer decay, which would only slow the lower layers down.

    python tools/train.py configs/detection/mask-rcnn_vit-micro-scratch_fpn_1xb16-6e_materials-64px.py

Untuned, and not run to its end here.
"""

_base_ = './mask-rcnn_vit-micro_fpn_1xb16-6e_materials-64px.py'

model = dict(backbone=dict(init_cfg=None))
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=1.0))
