"""MixMAE, tiny encoder, 300 epochs on ImageNet-1k on one GPU: the official batch of 2048 by accumulation.

    python tools/train.py configs/mixmae/mixmae_mixmim-swin-tiny-w14_1xb128-accu16-amp-coslr-300e_in1k.py

If more than 128 images fit in memory, a larger `train_dataloader.batch_size` with a smaller
`optim_wrapper.accumulative_counts` is faster. Untuned: the paper has no tiny model.
"""

_base_ = './mixmae_mixmim-swin-base-w14_16xb128-amp-coslr-600e_in1k.py'

model = dict(backbone=dict(arch='tiny'), neck=dict(in_channels=96 * 8))
optim_wrapper = dict(accumulative_counts=16)
train_cfg = dict(max_epochs=300)
