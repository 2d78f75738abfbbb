"""Index masks of the built-in set (tools/dataset_tools/make_shapes.py), 64 px."""

_base_ = './masks_small.py'

data_root = 'data/shapes'
classes = [
    'background', 'arrow', 'circle', 'crescent', 'cross', 'heart', 'pentagon', 'ring', 'square', 'star', 'triangle'
]  # fmt: skip
crop_size = (64, 64)
batch_size = 16

train_pipeline = [
    dict(type='mixmae_mm.SeedSample'),
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='RandomFlip', prob=0.5),
    dict(type='mmseg.PackSegInputs'),
]
_set = dict(data_root=data_root, metainfo=dict(classes=classes))
train_dataloader = dict(
    batch_size=batch_size,
    dataset=dict(_set, data_prefix=dict(img_path='train', seg_map_path='masks/train'), pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=batch_size, dataset=dict(_set, data_prefix=dict(img_path='val', seg_map_path='masks/val'))
)
test_dataloader = val_dataloader
auto_scale_lr = dict(base_batch_size=batch_size)
