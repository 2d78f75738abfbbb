"""Mask R-CNN with the micro encoder on 388 photos of COCO, on a CPU: a trial of the pipeline, not of the model.

    python tools/train.py configs/detection/mask-rcnn_mixmim-swin-micro_fpn_1xb8-6e_coco-mini.py \
        --cfg-options model.backbone.init_cfg.checkpoint=PRETRAINED.pth

`data/coco_mini_448` holds images/, train.json and val.json. Far too few photos for 80 classes: AP stays near 0. Untuned.
"""

_base_ = [
    '../_base_/models/mask-rcnn_mixmim-swin-micro.py',
    '../_base_/datasets/coco_instance_small.py',
    '../_base_/schedules/dense_micro.py',
    '../_base_/detection_runtime.py',
]

data_root = 'data/coco_mini_448/'
test_size = (448, 448)

model = dict(
    backbone=dict(
        init_cfg=dict(
            type='Pretrained',
            checkpoint='work_dirs/mixmae_mixmim-swin-micro_1xb64-coslr-40e_imagenette-96px/epoch_40.pth',
        )
    )
)
train_pipeline = [
    dict(step, scale=test_size) if step['type'] == 'RandomResize' else step for step in _base_.train_pipeline
]
test_pipeline = [
    dict(step, scale=test_size) if step['type'] == 'mmdet.Resize' else step for step in _base_.test_pipeline
]
_set = dict(data_root=data_root, metainfo=dict(_delete_=True))  # the classes are COCO's own
train_dataloader = dict(dataset=dict(_set, pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(_set, pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'val.json')
test_evaluator = val_evaluator
train_cfg = dict(max_epochs=6, val_interval=6)
auto_scale_lr = dict(base_batch_size=_base_.train_dataloader.batch_size)
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(max_keep_ckpts=1))
