"""MAE's official pre-training schedule, which MixMAE's follows for half the batch.

MixedAE's own schedule is not known. The batch counts images, not mixtures.
"""

_base_ = './mixmae_bs2048.py'

batch_size = 4096

optim_wrapper = dict(optimizer=dict(lr=_base_.base_lr * batch_size / 256))
auto_scale_lr = dict(base_batch_size=batch_size)
