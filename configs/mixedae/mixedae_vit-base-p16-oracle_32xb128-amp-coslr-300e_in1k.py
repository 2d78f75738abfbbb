"""MixedAE told what it should recognize: attention keeps exactly the patches of a query's own image.

    tools/dist_train.sh configs/mixedae/mixedae_vit-base-p16-oracle_32xb128-amp-coslr-300e_in1k.py 8 --auto-scale-lr

A control, not the method: what recognition could give if it were perfect. Untuned.
"""

_base_ = './mixedae_vit-base-p16_32xb128-amp-coslr-300e_in1k.py'

model = dict(backbone=dict(attention='true'))
