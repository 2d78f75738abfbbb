"""MixedAE with the micro ViT at 96 px, on every fifth photo of Imagenette: 1,894 photos, each seen often."""

_base_ = '../../../configs/mixedae/mixedae_vit-micro-p8_1xb64-coslr-40e_imagenette-96px.py'

train_dataloader = dict(dataset=dict(indices=list(range(0, 9469, 5))))
