"""UperNet with the micro encoder on CamVid, without pre-training.

    python tools/train.py configs/segmentation/upernet_mixmim-swin-micro-scratch_1xb16-40e_camvid11-192px.py

There is no layer decay, which would only slow down the lower layers. Measured here, untuned: docs/results.md.
"""

_base_ = './upernet_mixmim-swin-micro_1xb16-40e_camvid11-192px.py'

model = dict(backbone=dict(init_cfg=None))
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=1.0))
