"""MAE with the same ViT on the same photos as MixedAE, at 96 px."""

_base_ = ['./mixedae_vit-micro_imagenette-96px.py', '../../../configs/_base_/models/as_mae.py']

model = _base_.as_mae
