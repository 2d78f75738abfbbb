"""MAE, a micro ViT, on Imagenette at 96 px, on a CPU: one image at a time, 75 % of it masked.

    python tools/train.py configs/mae/mae_vit-micro-p8_1xb64-coslr-40e_imagenette-96px.py

Measured here: docs/results.md.
"""

_base_ = [
    '../mixedae/mixedae_vit-micro-p8_1xb64-coslr-40e_imagenette-96px.py',
    '../_base_/models/as_mae.py',
]

model = _base_.as_mae
