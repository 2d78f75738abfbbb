"""MAE with the same ViT on the same photos as MixedAE."""

_base_ = ['./mixedae_vit-micro_imagenette-64px.py', '../../../configs/_base_/models/as_mae.py']

model = _base_.as_mae
