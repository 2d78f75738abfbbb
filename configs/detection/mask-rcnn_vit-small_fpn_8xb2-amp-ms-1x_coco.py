"""Mask R-CNN with the small ViT on COCO: 12 epochs, short sides of 480 to 800 px, batch 16.

    tools/dist_train.sh configs/detection/mask-rcnn_vit-small_fpn_8xb2-amp-ms-1x_coco.py 8 \
        --cfg-options model.backbone.init_cfg.checkpoint=PRETRAINED.pth

The base model's recipe. Untuned, and not run here.
"""

_base_ = './mask-rcnn_vit-base_fpn_8xb2-amp-ms-1x_coco.py'

checkpoint = 'work_dirs/mixedae_vit-small-p16_32xb128-amp-coslr-1600e_in1k/epoch_1600.pth'

model = dict(backbone=dict(arch='small', init_cfg=dict(checkpoint=checkpoint)), neck=dict(in_channels=384))
