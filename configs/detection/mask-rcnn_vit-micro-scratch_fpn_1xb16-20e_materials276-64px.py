"""Mask R-CNN with the micro ViT on 276 images of the built-in set, without pre-training.

    python tools/train.py configs/detection/mask-rcnn_vit-micro-scratch_fpn_1xb16-20e_materials276-64px.py

Untuned, and not run to completion here.
"""

_base_ = './mask-rcnn_vit-micro_fpn_1xb16-20e_materials276-64px.py'

model = dict(backbone=dict(init_cfg=None))
