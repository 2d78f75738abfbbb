"""mmdet's 1x schedule: 12 epochs of batch 16, 500 iterations of warm-up, steps after 8 and 11."""

batch_size = 16

optim_wrapper = dict(
    type='AmpOptimWrapper',
    dtype='float16',  # mmcv's RoIAlign does not support bfloat16
    constructor='mixmae_mm.LayerDecayOptimWrapperConstructor',
    paramwise_cfg=dict(layer_decay_rate=0.75, head_decay=False, no_decay=['cls_token', 'pos_embed']),  # per encoder
    optimizer=dict(type='AdamW', lr=1e-4, betas=(0.9, 0.999), weight_decay=0.05),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=False, end=500),
    dict(type='MultiStepLR', milestones=[8, 11], gamma=0.1),
]
train_cfg = dict(by_epoch=True, max_epochs=12, val_interval=1)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=batch_size)
