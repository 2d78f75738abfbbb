"""Mask R-CNN with the plain ViT-B on COCO, as ViTDet: 1024 px with large-scale jitter, 100 epochs, batch 64.

    tools/dist_train.sh configs/detection/mask-rcnn_vit-base_fpn_8xb8-amp-lsj-100e_coco.py 8 \
        --cfg-options model.backbone.init_cfg.checkpoint=PRETRAINED.pth

For MixedAE, MAE and any other ViT of `docs/weights.md`. Windows of 14 but in four blocks, a pyramid from the last map.
Reported by detectron2 for MAE's ViT-B with its own ViTDet: 51.6 box, 45.9 mask AP. That has relative positions, which
this has not. Untuned, and not run here.
"""

_base_ = [
    '../_base_/models/mask-rcnn_vit-base.py',
    '../_base_/datasets/coco_instance_lsj.py',
    '../_base_/schedules/coco_lsj_100e.py',
    '../_base_/detection_runtime.py',
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
