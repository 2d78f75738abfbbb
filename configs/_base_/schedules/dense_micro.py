"""Dense tasks with micro models on a CPU: one epoch of warm-up, then linear decay to 0."""

warmup_epochs = 1

optim_wrapper = dict(
    type='OptimWrapper',
    constructor='mixmae_mm.LayerDecayOptimWrapperConstructor',
    paramwise_cfg=dict(layer_decay_rate=0.9, head_decay=False, no_decay=['cls_token', 'pos_embed']),
    optimizer=dict(type='AdamW', lr=1e-3, betas=(0.9, 0.999), weight_decay=0.05),
    clip_grad=dict(max_norm=1.0),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, end=warmup_epochs, convert_to_iter_based=True),
    dict(type='PolyLR', power=1.0, eta_min=0.0, begin=warmup_epochs, convert_to_iter_based=True),
]
train_cfg = dict(by_epoch=True, max_epochs=12, val_interval=4)
val_cfg = dict()
test_cfg = dict()
