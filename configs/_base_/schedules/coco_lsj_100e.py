"""ViTDet's schedule for COCO with large-scale jitter: 184,375 iterations of batch 64, which are about 100 epochs.

250 iterations of warm-up, steps at 88.9 % and 96.3 % of training, no gradient clipping; layer decay per encoder.
Unlike in ViTDet, biases have no weight decay.
"""

batch_size = 64
max_iters = 184_375

optim_wrapper = dict(
    type='AmpOptimWrapper',
    dtype='float16',  # mmcv's RoIAlign does not support bfloat16
    constructor='mixmae_mm.LayerDecayOptimWrapperConstructor',
    paramwise_cfg=dict(layer_decay_rate=0.7, head_decay=False, no_decay=['cls_token', 'pos_embed']),
    optimizer=dict(type='AdamW', lr=1e-4, betas=(0.9, 0.999), weight_decay=0.1),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=False, end=250),
    dict(type='MultiStepLR', by_epoch=False, milestones=[163_889, 177_546], gamma=0.1),
]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters, val_interval=5000)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=batch_size)
