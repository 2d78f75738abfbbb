"""Naive mixing on the built-in set, a baseline for MixedAE: no segment embedding, plain attention, no contrastive term.

    python tools/train.py configs/mixedae/mixedae_vit-micro-p8-naive_1xb64-coslr-40e_materials-64px.py

Untuned: the schedule is the micro MixMAE's.
"""

_base_ = './mixedae_vit-micro-p8_1xb64-coslr-40e_materials-64px.py'

model = dict(backbone=dict(segment_embedding=False, attention='global'), contrast=None)
