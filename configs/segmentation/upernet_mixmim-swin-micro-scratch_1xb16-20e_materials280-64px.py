"""The same without pre-training.

    python tools/train.py configs/segmentation/upernet_mixmim-swin-micro-scratch_1xb16-20e_materials280-64px.py

Untuned; docs/results.md has what it gave here.
"""

_base_ = './upernet_mixmim-swin-micro_1xb16-20e_materials280-64px.py'

model = dict(backbone=dict(init_cfg=None))
