"""Mask R-CNN with the micro encoder on 534 micrographs of nuclei (2018 Data Science Bowl), on a CPU.

    python tools/train.py configs/detection/mask-rcnn_mixmim-swin-micro_fpn_1xb8-12e_nuclei.py \
        --cfg-options model.backbone.init_cfg.checkpoint=PRETRAINED.pth

`data/nuclei_dsb2018` holds images/, train.json and val.json. Many objects are a few pixels wide, so anchors are small,
and up to 400 objects per image are kept. Without the option, training starts from the checkpoint of the pre-training
config for Imagenette. Measured here, untuned: docs/results.md.
"""

_base_ = [
    '../_base_/models/mask-rcnn_mixmim-swin-micro.py',
    '../_base_/datasets/coco_instance_small.py',
    '../_base_/schedules/dense_micro.py',
    '../_base_/detection_runtime.py',
]

model = dict(
    backbone=dict(
        init_cfg=dict(
            type='Pretrained',
            checkpoint='work_dirs/mixmae_mixmim-swin-micro_1xb64-coslr-40e_imagenette-96px/epoch_40.pth',
        )
    ),
    roi_head=dict(bbox_head=dict(num_classes=1), mask_head=dict(num_classes=1)),
    test_cfg=dict(rcnn=dict(max_per_img=400)),
)
val_evaluator = dict(proposal_nums=(100, 300, 400))
test_evaluator = val_evaluator
auto_scale_lr = dict(base_batch_size=_base_.train_dataloader.batch_size)
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(max_keep_ckpts=1))
