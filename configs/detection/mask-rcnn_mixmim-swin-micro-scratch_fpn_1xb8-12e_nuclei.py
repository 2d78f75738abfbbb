"""Mask R-CNN with the micro encoder on nuclei, without pre-training.

    python tools/train.py configs/detection/mask-rcnn_mixmim-swin-micro-scratch_fpn_1xb8-12e_nuclei.py

There is no layer decay, which would only slow down the lower layers. Measured here, untuned: docs/results.md.
"""

_base_ = './mask-rcnn_mixmim-swin-micro_fpn_1xb8-12e_nuclei.py'

model = dict(backbone=dict(init_cfg=None))
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=1.0))
