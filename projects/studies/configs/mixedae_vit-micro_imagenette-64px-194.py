"""MixedAE with the micro ViT at 64 px, on every 49th photo of Imagenette: 194 photos, three batches an epoch."""

_base_ = './mixedae_vit-micro_imagenette-64px.py'

train_dataloader = dict(dataset=dict(indices=list(range(0, 9469, 49))))
