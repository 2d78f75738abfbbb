"""Mask R-CNN with MixMIMSwin-B on COCO: 1024 px with large-scale jitter, about 100 epochs of batch 64.

    tools/dist_train.sh configs/detection/mask-rcnn_mixmim-swin-base_fpn_8xb8-amp-lsj-100e_coco.py 8 \
        --cfg-options model.backbone.init_cfg.checkpoint=PRETRAINED.pth

184,375 iterations: the schedule is detectron2's for ViTDet; we could not read any recipe of MixMAE's authors. A third
party attributes layer decay 0.85 to them (weak evidence); drop path 0.2 is a guess. Untuned, and not run here; we know
of no AP to expect.
"""

_base_ = [
    '../_base_/models/mask-rcnn_mixmim-swin-base.py',
    '../_base_/datasets/coco_instance_lsj.py',
    '../_base_/schedules/coco_lsj_100e.py',
    '../_base_/detection_runtime_by_iteration.py',
]

model = dict(
    data_preprocessor=dict(
        batch_augments=[
            dict(
                type='mmdet.BatchFixedSizePad',
                size=_base_.image_size,
                img_pad_value=_base_.pad_value,
                pad_mask=True,
            )
        ]
    )
)
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=0.85))
