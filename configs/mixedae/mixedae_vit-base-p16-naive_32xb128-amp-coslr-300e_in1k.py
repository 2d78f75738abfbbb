"""Naive mixing, a baseline for MixedAE: no segment embedding, plain attention, no contrastive term.

    tools/dist_train.sh configs/mixedae/mixedae_vit-base-p16-naive_32xb128-amp-coslr-300e_in1k.py 8 --auto-scale-lr

Untuned. Reported by the paper to be worse than MAE; we could not read the number. To add the parts of MixedAE one by
one, use --cfg-options:

    model.backbone.segment_embedding=True
    model.backbone.attention=homologous

For the contrastive term alone, use the noattn config with `model.backbone.segment_embedding=False`.
"""

_base_ = './mixedae_vit-base-p16_32xb128-amp-coslr-300e_in1k.py'

model = dict(backbone=dict(segment_embedding=False, attention='global'), contrast=None)
