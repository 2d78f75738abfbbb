"""MAE, a micro ViT, on the built-in set at 64 px, on a CPU: one image at a time, 75 % of it masked.

    python tools/train.py configs/mae/mae_vit-micro-p8_1xb64-coslr-40e_materials-64px.py

Untuned: the schedule is the micro MixMAE's.
"""

_base_ = [
    '../mixedae/mixedae_vit-micro-p8_1xb64-coslr-40e_materials-64px.py',
    '../_base_/models/as_mae.py',
]

model = _base_.as_mae
