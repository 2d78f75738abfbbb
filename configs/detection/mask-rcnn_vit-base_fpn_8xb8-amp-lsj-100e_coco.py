"""Mask R-CNN with the plain ViT-B on COCO, ViTDet's detector and schedule: 1024 px, large-scale jitter, batch 64.

    tools/dist_train.sh configs/detection/mask-rcnn_vit-base_fpn_8xb8-amp-lsj-100e_coco.py 8 \
        --cfg-options model.backbone.init_cfg.checkpoint=PRETRAINED.pth

For MixedAE, MAE and any other ViT of `docs/weights.md`. 184,375 iterations, which are about 100 epochs; learning rate
1e-4, weight decay 0.1, layer decay 0.7, drop path 0.1. configs/_base_/models/mask-rcnn_vit-base.py lists what is as in
detectron2's ViTDet and what is not (attention without relative positions, masked padding); because of the latter, do
not expect ViTDet's reported AP. Untuned, and not run here.
"""

_base_ = [
    '../_base_/models/mask-rcnn_vit-base.py',
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
