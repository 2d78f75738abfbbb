"""The built-in set with masks at 64 px, of which every tenth training image has one: 280, with 14 classes."""

_base_ = './masks_small.py'

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
_set = dict(data_root=data_root, metainfo=dict(classes=classes))
train_dataloader = dict(
    dataset=dict(
        _set,
        data_prefix=dict(img_path='train', seg_map_path='masks/train'),
        indices=range(0, 2800, 10),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(batch_size=16, dataset=dict(_set, data_prefix=dict(img_path='val', seg_map_path='masks/val')))
test_dataloader = val_dataloader
