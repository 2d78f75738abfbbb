"""The same without pre-training.

    python tools/train.py configs/segmentation/upernet_vit-micro-scratch_1xb16-20e_materials280-64px.py

Untuned, and not run to its end here.
"""

_base_ = './upernet_vit-micro_1xb16-20e_materials280-64px.py'

model = dict(backbone=dict(init_cfg=None))
