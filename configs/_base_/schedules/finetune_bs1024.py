"""The official fine-tuning schedule, which MixMAE and MAE share; the cosine ends at 1e-6 times each layer's scale.

Precision is bfloat16, which needs no loss scale; the official runs used float16.
"""

batch_size = 1024
base_lr = 5e-4  # for 256 images
min_lr = 1e-6
warmup_epochs = 5
lr = base_lr * batch_size / 256

optim_wrapper = dict(
    type='AmpOptimWrapper',
    dtype='bfloat16',
    constructor='mixmae_mm.LayerDecayOptimWrapperConstructor',
    paramwise_cfg=dict(layer_decay_rate=0.7, head_decay=True, no_decay=['cls_token', 'pos_embed']),
    optimizer=dict(type='AdamW', lr=lr, betas=(0.9, 0.999), weight_decay=0.05),
)

# Linear from almost 0: mmengine updates the rate by multiplication, so a start at 0 would stay 0.
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-10, end=warmup_epochs, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', eta_min_ratio=min_lr / lr, begin=warmup_epochs, convert_to_iter_based=True),
]

train_cfg = dict(by_epoch=True, max_epochs=100)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=batch_size)
