"""100 epochs of COCO with large-scale jitter, batch 64: detectron2's ViTDet schedule; layer decay by encoder."""

batch_size = 64
max_epochs = 100

optim_wrapper = dict(
    type='AmpOptimWrapper',
    dtype='float16',  # mmcv's RoIAlign does not know bfloat16
    constructor='mixmae_mm.LayerDecayOptimWrapperConstructor',
    paramwise_cfg=dict(decay_rate=0.7, head_decay=False),
    optimizer=dict(type='AdamW', lr=1e-4, betas=(0.9, 0.999), weight_decay=0.1),
    clip_grad=dict(max_norm=1.0),
)
# at 88.9 % and 96.3 % of the training, after 250 iterations of warm-up
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=False, end=250),
    dict(type='MultiStepLR', milestones=[89, 96], gamma=0.1),
]
train_cfg = dict(by_epoch=True, max_epochs=max_epochs, val_interval=5)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=batch_size)
