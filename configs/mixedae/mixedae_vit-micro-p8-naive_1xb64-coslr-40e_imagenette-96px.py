"""Naive mixing on Imagenette, a baseline for MixedAE: no segment embedding, plain attention, no contrastive term.

    python tools/train.py configs/mixedae/mixedae_vit-micro-p8-naive_1xb64-coslr-40e_imagenette-96px.py

Measured here: docs/results.md.
"""

_base_ = './mixedae_vit-micro-p8_1xb64-coslr-40e_imagenette-96px.py'

model = dict(backbone=dict(segment_embedding=False, attention='global'), contrast=None)
