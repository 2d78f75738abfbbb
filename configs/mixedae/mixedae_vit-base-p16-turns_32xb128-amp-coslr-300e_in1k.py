"""MixedAE with as many mixtures as images: each image leads one, so every patch of it is shown once.

    tools/dist_train.sh configs/mixedae/mixedae_vit-base-p16-turns_32xb128-amp-coslr-300e_in1k.py 8 --auto-scale-lr

Costs about four times as much an epoch, and memory likewise. Untuned.
"""

_base_ = './mixedae_vit-base-p16_32xb128-amp-coslr-300e_in1k.py'

model = dict(data_preprocessor=dict(take_turns=True))
