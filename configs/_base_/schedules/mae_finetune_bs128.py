"""MAE's official fine-tuning schedule for the base encoder, with the learning rate scaled to a batch of 128."""

_base_ = './finetune_bs1024.py'

batch_size = 128
lr = _base_.base_lr * batch_size / 256

optim_wrapper = dict(optimizer=dict(lr=lr), paramwise_cfg=dict(layer_decay_rate=0.65, head_decay=False))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-10, end=_base_.warmup_epochs, convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR',
        eta_min_ratio=_base_.min_lr / lr,
        begin=_base_.warmup_epochs,
        convert_to_iter_based=True,
    ),
]
auto_scale_lr = dict(base_batch_size=batch_size)
