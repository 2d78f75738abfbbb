"""Mask R-CNN with heads of 64 channels for images of 64 to 320 px, many of whose objects are a few pixels wide."""

_base_ = './mask-rcnn.py'

image_size = 192
channels = 64
strides = [4, 8, 16]

_roi = dict(out_channels=channels, featmap_strides=strides, finest_scale=28)

model = dict(
    data_preprocessor=dict(pad_size_divisor=16),
    rpn_head=dict(
        in_channels=channels,
        feat_channels=channels,
        anchor_generator=dict(scales=[3], strides=[*strides, 32]),
    ),
    roi_head=dict(
        bbox_roi_extractor=_roi,
        bbox_head=dict(in_channels=channels, fc_out_channels=128),
        mask_roi_extractor=_roi,
        mask_head=dict(num_convs=2, in_channels=channels, conv_out_channels=channels),
    ),
    train_cfg=dict(rpn_proposal=dict(nms_pre=1000, max_per_img=500), rcnn=dict(sampler=dict(num=128))),
)
