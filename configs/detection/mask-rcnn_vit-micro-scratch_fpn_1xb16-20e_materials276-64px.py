"""The same without pre-training.

    python tools/train.py configs/detection/mask-rcnn_vit-micro-scratch_fpn_1xb16-20e_materials276-64px.py

Untuned, and not run to its end here.
"""

_base_ = './mask-rcnn_vit-micro_fpn_1xb16-20e_materials276-64px.py'

model = dict(backbone=dict(init_cfg=None))
