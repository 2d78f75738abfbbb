"""MixedAE with homologous attention in all blocks, the first as well.

    tools/dist_train.sh configs/mixedae/mixedae_vit-base-p16-alllayers_32xb128-amp-coslr-300e_in1k.py 8 --auto-scale-lr

As good a guess at the method as leaving the first block out. Untuned.
"""

_base_ = './mixedae_vit-base-p16_32xb128-amp-coslr-300e_in1k.py'

model = dict(backbone=dict(homologous_layers=list(range(12))))
