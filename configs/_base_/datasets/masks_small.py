"""Small datasets of images and index masks in folders: crops of 192 px, batches of 16."""

_base_ = './ade20k.py'

data_root = 'data/camvid11_384x288'
classes = [
    'Sky', 'Building', 'Pole', 'Road', 'Pavement', 'Tree', 'SignSymbol', 'Fence', 'Car', 'Pedestrian', 'Bicyclist'
]  # fmt: skip
crop_size = (192, 192)

train_pipeline = [
    dict(type='mixmae_mm.SeedSample'),
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='RandomResize', scale=(384, 288), ratio_range=(0.5, 2.0), keep_ratio=True, resize_type='mmseg.Resize'),
    dict(type='mmseg.RandomCrop', crop_size=crop_size, cat_max_ratio=0.75),
    dict(type='RandomFlip', prob=0.5),
    dict(type='mmseg.PhotoMetricDistortion'),
    dict(type='mmseg.PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='mmseg.PackSegInputs'),
]

_set = dict(
    _delete_=True,
    type='mmseg.BaseSegDataset',
    data_root=data_root,
    metainfo=dict(classes=classes),
    img_suffix='.jpg',
    seg_map_suffix='.png',
)
train_dataloader = dict(
    batch_size=16,
    num_workers=2,
    drop_last=True,
    sampler=dict(type='mixmae_mm.SeededSampler'),
    dataset=dict(
        _set, data_prefix=dict(img_path='img_dir/train', seg_map_path='ann_dir/train'), pipeline=train_pipeline
    ),
)
val_dataloader = dict(
    num_workers=1,
    dataset=dict(_set, data_prefix=dict(img_path='img_dir/test', seg_map_path='ann_dir/test'), pipeline=test_pipeline),
)
test_dataloader = val_dataloader
