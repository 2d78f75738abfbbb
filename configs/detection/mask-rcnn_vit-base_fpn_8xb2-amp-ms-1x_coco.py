"""Mask R-CNN with the plain ViT-B on COCO: 12 epochs, short sides of 480 to 800 px, batch 16.

    tools/dist_train.sh configs/detection/mask-rcnn_vit-base_fpn_8xb2-amp-ms-1x_coco.py 8 \
        --cfg-options model.backbone.init_cfg.checkpoint=PRETRAINED.pth

ViTDet's detector (configs/_base_/models/mask-rcnn_vit-base.py), mmdet's 1x schedule with AdamW at 1e-4, weight decay
0.05, layer decay 0.75 and drop path 0.1. Untuned, and not run here.
"""

_base_ = [
    '../_base_/models/mask-rcnn_vit-base.py',
    '../_base_/datasets/coco_instance.py',
    '../_base_/schedules/coco_1x.py',
    '../_base_/detection_runtime.py',
]
