"""MAE with the same ViT on the same 194 photos as MixedAE."""

_base_ = ['./mixedae_vit-micro_imagenette-64px-194.py', '../../../configs/_base_/models/as_mae.py']

model = _base_.as_mae
