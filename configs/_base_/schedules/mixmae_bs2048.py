"""MixMAE's official pre-training schedule; the cosine ends at `max_epochs`, even if a config changes it."""

batch_size = 2048
base_lr = 1.5e-4  # for 256 images
warmup_epochs = 40

optim_wrapper = dict(
    type='AmpOptimWrapper',
    dtype='bfloat16',
    constructor='mixmae_mm.LayerDecayOptimWrapperConstructor',
    paramwise_cfg=dict(layer_decay_rate=1.0),  # one rate for all layers; no weight decay of biases and norms
    optimizer=dict(type='AdamW', lr=base_lr * batch_size / 256, betas=(0.9, 0.95), weight_decay=0.05),
)

# Linear from almost 0: mmengine updates the rate by multiplication, so a start at 0 would stay 0.
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-10, end=warmup_epochs, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', eta_min=0.0, begin=warmup_epochs, convert_to_iter_based=True),
]

train_cfg = dict(by_epoch=True, max_epochs=600)
auto_scale_lr = dict(base_batch_size=batch_size)
