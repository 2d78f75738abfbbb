"""The built-in set at 64 px with masks of 14 classes; training uses every tenth image, 280 in all."""

_base_ = './ade20k.py'

data_root = 'data/materials'
classes = [
    'brick', 'bubbles', 'corrugation', 'cracks', 'fur', 'granite', 'herringbone',
    'honeycomb', 'marble', 'pebbles', 'scales', 'terrazzo', 'weave', 'wood'
]  # fmt: skip
crop_size = (64, 64)

train_pipeline = [
    dict(type='mixmae_mm.SeedSample'),
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='RandomFlip', prob=0.5),
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
        _set,
        data_prefix=dict(img_path='train', seg_map_path='masks/train'),
        indices=range(0, 2800, 10),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=16,
    num_workers=1,
    dataset=dict(_set, data_prefix=dict(img_path='val', seg_map_path='masks/val'), pipeline=test_pipeline),
)
test_dataloader = val_dataloader
