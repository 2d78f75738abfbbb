"""UperNet with the micro ViT on 280 images of the built-in set, without pre-training.

    python tools/train.py configs/segmentation/upernet_vit-micro-scratch_1xb16-20e_materials280-64px.py

Untuned, and not run to completion here.
"""

_base_ = './upernet_vit-micro_1xb16-20e_materials280-64px.py'

model = dict(backbone=dict(init_cfg=None))
