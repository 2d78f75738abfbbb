"""MixedAE with all patches in the reconstruction loss, also those that the mixture shows.

    tools/dist_train.sh configs/mixedae/mixedae_vit-base-p16-allcells_32xb128-amp-coslr-300e_in1k.py 8 --auto-scale-lr

Untuned.
"""

_base_ = './mixedae_vit-base-p16_32xb128-amp-coslr-300e_in1k.py'

model = dict(head=dict(masked_only=False))
