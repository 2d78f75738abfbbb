"""MAE's official fine-tuning schedule for the base encoder: the head trains at the full learning rate."""

_base_ = './finetune_bs1024.py'

optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=0.65, head_decay=False))
