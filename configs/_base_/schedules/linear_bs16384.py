"""MAE's official linear probing: LARS, which does not scale biases, without weight decay; the cosine ends at 0."""

batch_size = 16384
warmup_epochs = 10

optim_wrapper = dict(
    type='AmpOptimWrapper',
    dtype='bfloat16',
    optimizer=dict(type='mmpretrain.LARS', lr=0.1 * batch_size / 256, momentum=0.9, weight_decay=0.0),
    paramwise_cfg=dict(custom_keys=dict(bias=dict(lars_exclude=True))),
)

# Linear from almost 0: mmengine updates the rate by multiplication, so a start at 0 would stay 0.
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-10, end=warmup_epochs, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', eta_min=0.0, begin=warmup_epochs, convert_to_iter_based=True),
]

train_cfg = dict(by_epoch=True, max_epochs=90)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=batch_size)
