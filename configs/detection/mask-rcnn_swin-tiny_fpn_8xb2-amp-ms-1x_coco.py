"""Mask R-CNN with mmdet's Swin-T on COCO, after MixMAE: 12 epochs, short sides of 480 to 800 px, batch 16.

    tools/dist_train.sh configs/detection/mask-rcnn_swin-tiny_fpn_8xb2-amp-ms-1x_coco.py 8 \
        --cfg-options model.backbone.init_cfg.checkpoint=PRETRAINED.pth

Untuned, and without layer decay, since the class does not report the depth of its parameters. Not run here.
"""

_base_ = './mask-rcnn_mixmim-swin-base_fpn_8xb2-amp-ms-1x_coco.py'

model = dict(
    data_preprocessor=dict(pad_value=0),  # this encoder cannot recognize padding
    backbone=dict(
        _delete_=True,
        type='mmdet.SwinTransformer',
        drop_path_rate=0.1,
        init_cfg=dict(
            type='Pretrained', checkpoint='work_dirs/mixmae_swin-tiny-w7_16xb128-amp-coslr-300e_in1k/epoch_300.pth'
        ),
    ),
    neck=dict(in_channels=[96, 192, 384, 768]),
)
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=1.0))
