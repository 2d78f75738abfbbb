"""Mask R-CNN with the micro encoder on the built-in set, on a CPU: what `make demo-dense` runs.

    python tools/dataset_tools/make_shapes.py data/shapes
    python tools/train.py configs/detection/mask-rcnn_mixmim-swin-micro_fpn_1xb16-6e_shapes-64px.py \
        --cfg-options model.backbone.init_cfg.checkpoint=PRETRAINED.pth

Without the option it takes what the pre-training config has written. Untuned; see docs/results.md for what it gave here.
"""

_base_ = [
    '../_base_/models/mask-rcnn_mixmim-swin-micro.py',
    '../_base_/datasets/coco_instance_shapes.py',
    '../_base_/schedules/dense_micro.py',
    '../_base_/detection_runtime.py',
]

model = dict(
    backbone=dict(
        img_size=64,
        init_cfg=dict(
            type='Pretrained', checkpoint='work_dirs/mixmae_mixmim-swin-micro_1xb64-coslr-40e_shapes-64px/epoch_40.pth'
        ),
    ),
    roi_head=dict(bbox_head=dict(num_classes=10), mask_head=dict(num_classes=10)),
    # at most five objects an image: few regions do
    train_cfg=dict(
        rpn=dict(sampler=dict(num=64)),
        rpn_proposal=dict(nms_pre=200, max_per_img=50),
        rcnn=dict(sampler=dict(num=32)),
    ),
    test_cfg=dict(rpn=dict(nms_pre=200, max_per_img=50), rcnn=dict(max_per_img=20)),
)
train_cfg = dict(max_epochs=6, val_interval=6)
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(max_keep_ckpts=1))
