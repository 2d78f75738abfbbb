"""UperNet with the micro encoder on 280 images of the built-in set, without pre-training.

    python tools/train.py configs/segmentation/upernet_mixmim-swin-micro-scratch_1xb16-20e_materials280-64px.py

Untuned; results here: docs/results.md.
"""

_base_ = './upernet_mixmim-swin-micro_1xb16-20e_materials280-64px.py'

model = dict(backbone=dict(init_cfg=None))
