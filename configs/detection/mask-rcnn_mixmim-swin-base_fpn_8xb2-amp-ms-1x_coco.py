"""Mask R-CNN with MixMIMSwin-B on COCO: 12 epochs, short sides of 480 to 800 px, batch 16 (the cheap schedule).

    tools/dist_train.sh configs/detection/mask-rcnn_mixmim-swin-base_fpn_8xb2-amp-ms-1x_coco.py 8 \
        --cfg-options model.backbone.init_cfg.checkpoint=PRETRAINED.pth

mmdet's 1x schedule with AdamW at 1e-4, weight decay 0.05, layer decay 0.85 and drop path 0.2. Untuned, and not run
here.
"""

_base_ = [
    '../_base_/models/mask-rcnn_mixmim-swin-base.py',
    '../_base_/datasets/coco_instance.py',
    '../_base_/schedules/coco_1x.py',
    '../_base_/detection_runtime.py',
]

optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=0.85))
