"""Mask R-CNN with the micro encoder on the built-in set, on a CPU: what `make demo-dense` runs.

    python tools/dataset_tools/make_materials.py data/materials
    python tools/train.py configs/detection/mask-rcnn_mixmim-swin-micro_fpn_1xb16-6e_materials-64px.py \
        --cfg-options model.backbone.init_cfg.checkpoint=PRETRAINED.pth

Without the option it takes what the pre-training config has written. Untuned, and not run to its end here.
"""

_base_ = [
    '../_base_/models/mask-rcnn_mixmim-swin-micro.py',
    '../_base_/datasets/coco_instance_small.py',
    '../_base_/schedules/dense_micro.py',
    '../_base_/detection_runtime.py',
]

data_root = 'data/materials/'
classes = (
    *('brick', 'bubbles', 'corrugation', 'cracks', 'fur', 'granite', 'herringbone'),
    *('honeycomb', 'marble', 'pebbles', 'scales', 'terrazzo', 'weave', 'wood'),
)
test_size = (64, 64)
batch_size = 16

model = dict(
    backbone=dict(
        img_size=64,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='work_dirs/mixmae_mixmim-swin-micro_1xb64-coslr-40e_materials-64px/epoch_40.pth',
        ),
    ),
    roi_head=dict(bbox_head=dict(num_classes=len(classes)), mask_head=dict(num_classes=len(classes))),
    # at most two objects an image: few regions do
    train_cfg=dict(
        rpn=dict(sampler=dict(num=64)),
        rpn_proposal=dict(nms_pre=200, max_per_img=50),
        rcnn=dict(sampler=dict(num=32)),
    ),
    test_cfg=dict(rpn=dict(nms_pre=200, max_per_img=50), rcnn=dict(max_per_img=20)),
)
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
train_cfg = dict(max_epochs=6, val_interval=6)
auto_scale_lr = dict(base_batch_size=batch_size)
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(max_keep_ckpts=1))
