"""The built-in set at 64 px, its patches as objects of one class; training uses every fifth image with patches, 276."""

_base_ = './coco_instance.py'

data_root = 'data/materials/'
classes = ('patch',)
test_size = (64, 64)

train_pipeline = [
    dict(type='mixmae_mm.SeedSample'),
    dict(type='LoadImageFromFile'),
    dict(type='mmdet.LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='mmdet.RandomFlip', prob=0.5),
    dict(type='mmdet.PackDetInputs'),
]
test_pipeline = [
    dict(step, scale=test_size) if step['type'] == 'mmdet.Resize' else step for step in _base_.test_pipeline
]
_set = dict(data_root=data_root, metainfo=dict(classes=classes))
train_dataloader = dict(
    batch_size=16,
    num_workers=2,
    batch_sampler=None,
    drop_last=True,
    dataset=dict(
        _set,
        ann_file='annotations/patches_train.json',
        data_prefix=dict(img='train/'),
        indices=range(0, 1376, 5),
        filter_cfg=dict(filter_empty_gt=True, min_size=1),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=16,
    num_workers=1,
    dataset=dict(_set, ann_file='annotations/patches_val.json', data_prefix=dict(img='val/'), pipeline=test_pipeline),
)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'annotations/patches_val.json')
test_evaluator = val_evaluator
