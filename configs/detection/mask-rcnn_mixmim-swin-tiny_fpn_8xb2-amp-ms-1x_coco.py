"""Mask R-CNN with the tiny MixMIMSwin on COCO: 12 epochs, short sides of 480 to 800 px, batch 16.

    tools/dist_train.sh configs/detection/mask-rcnn_mixmim-swin-tiny_fpn_8xb2-amp-ms-1x_coco.py 8 \
        --cfg-options model.backbone.init_cfg.checkpoint=PRETRAINED.pth

Like the base model, with a wide window in the last of the six blocks of the third stage. Untuned, and not run here.
"""

_base_ = './mask-rcnn_mixmim-swin-base_fpn_8xb2-amp-ms-1x_coco.py'

checkpoint = 'work_dirs/mixmae_mixmim-swin-tiny-w14_1xb128-accu16-amp-coslr-300e_in1k/epoch_300.pth'

model = dict(
    backbone=dict(arch='tiny', wide_blocks=(5,), init_cfg=dict(checkpoint=checkpoint)),
    neck=dict(in_channels=[96, 192, 384, 768]),
)
