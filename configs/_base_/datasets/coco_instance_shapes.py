"""Instances of the built-in set (tools/dataset_tools/make_shapes.py), 64 px."""

_base_ = './coco_instance_small.py'

data_root = 'data/shapes/'
classes = ('arrow', 'circle', 'crescent', 'cross', 'heart', 'pentagon', 'ring', 'square', 'star', 'triangle')
test_size = (64, 64)
batch_size = 16

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
    batch_size=batch_size,
    dataset=dict(
        _set,
        ann_file='annotations/instances_train.json',
        data_prefix=dict(img='train/'),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=batch_size,
    dataset=dict(_set, ann_file='annotations/instances_val.json', data_prefix=dict(img='val/'), pipeline=test_pipeline),
)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'annotations/instances_val.json')
test_evaluator = val_evaluator
auto_scale_lr = dict(base_batch_size=batch_size)
