"""MixedAE, small encoder, 300 epochs on ImageNet-1k on one GPU: MAE's batch of 4096 by accumulation.

    python tools/train.py configs/mixedae/mixedae_vit-small-p16_1xb128-accu32-amp-coslr-300e_in1k.py

If more than 128 images fit in memory, a larger `train_dataloader.batch_size` with a smaller
`optim_wrapper.accumulative_counts` is faster. Untuned.
"""

_base_ = './mixedae_vit-base-p16_32xb128-amp-coslr-300e_in1k.py'

model = dict(backbone=dict(arch='small'), neck=dict(in_channels=384))
optim_wrapper = dict(accumulative_counts=32)
