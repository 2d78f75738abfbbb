"""Mask R-CNN with the plain ViT-B on COCO: 12 epochs, short sides of 480 to 800 px, batch 16.

    tools/dist_train.sh configs/detection/mask-rcnn_vit-base_fpn_8xb2-amp-ms-1x_coco.py 8 \
        --cfg-options model.backbone.init_cfg.checkpoint=PRETRAINED.pth

Windows and pyramid as ViTDet, mmdet's 1x schedule with AdamW and layer decay. Untuned, and not run here.
"""

_base_ = [
    '../_base_/models/mask-rcnn_vit-base.py',
    '../_base_/datasets/coco_instance.py',
    '../_base_/schedules/coco_1x.py',
    '../_base_/detection_runtime.py',
]
