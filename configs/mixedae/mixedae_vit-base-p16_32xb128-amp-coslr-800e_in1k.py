"""MixedAE, base encoder, 800 epochs on ImageNet-1k.

    tools/dist_train.sh configs/mixedae/mixedae_vit-base-p16_32xb128-amp-coslr-800e_in1k.py 8 --auto-scale-lr

Untuned: the recipe is MAE's. Reported by a public list of benchmark results, for the paper but without a schedule: 83.5
top-1 on ImageNet-1k and 48.7 mIoU on ADE20K, which we guess to be for this one. Not run here.
"""

_base_ = './mixedae_vit-base-p16_32xb128-amp-coslr-300e_in1k.py'

train_cfg = dict(max_epochs=800)
