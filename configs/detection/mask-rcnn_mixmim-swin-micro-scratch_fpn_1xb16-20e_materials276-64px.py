"""Mask R-CNN with the micro encoder on 276 images of the built-in set, without pre-training.

    python tools/train.py configs/detection/mask-rcnn_mixmim-swin-micro-scratch_fpn_1xb16-20e_materials276-64px.py

Untuned; results here: docs/results.md.
"""

_base_ = './mask-rcnn_mixmim-swin-micro_fpn_1xb16-20e_materials276-64px.py'

model = dict(backbone=dict(init_cfg=None))
