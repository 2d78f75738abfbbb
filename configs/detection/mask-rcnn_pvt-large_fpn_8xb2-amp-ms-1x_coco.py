"""Mask R-CNN with mmdet's PVT-L on COCO, after MixMAE: 12 epochs, short sides of 480 to 800 px, batch 16.

    mixmae convert PRETRAINED.pth encoder.pth --to backbone
    tools/dist_train.sh configs/detection/mask-rcnn_pvt-large_fpn_8xb2-amp-ms-1x_coco.py 8 \
        --cfg-options model.backbone.init_cfg.checkpoint=encoder.pth

Untuned, and without layer decay, since the class does not report the depth of its parameters. Not run here.
"""

_base_ = './mask-rcnn_mixmim-swin-base_fpn_8xb2-amp-ms-1x_coco.py'

model = dict(
    data_preprocessor=dict(pad_value=0),  # this encoder cannot recognize padding
    backbone=dict(
        _delete_=True,
        type='mmdet.PyramidVisionTransformer',
        num_layers=[3, 8, 27, 3],
        drop_path_rate=0.3,
        init_cfg=dict(
            type='Pretrained', checkpoint='work_dirs/mixmae_pvt-large_16xb128-amp-coslr-300e_in1k/encoder.pth'
        ),
    ),
    neck=dict(in_channels=[64, 128, 320, 512]),
)
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=1.0))
