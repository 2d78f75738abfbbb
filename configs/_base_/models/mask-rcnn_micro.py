"""Overrides for a micro Mask R-CNN: heads of 64 channels, for images of 64 to 320 px with objects a few pixels wide."""

image_size = 192
micro_channels = 64

_roi = dict(out_channels=micro_channels, featmap_strides=[4, 8, 16], finest_scale=28)

micro = dict(
    data_preprocessor=dict(pad_size_divisor=16),
    rpn_head=dict(
        in_channels=micro_channels,
        feat_channels=micro_channels,
        anchor_generator=dict(scales=[3], strides=[4, 8, 16, 32]),
    ),
    roi_head=dict(
        bbox_roi_extractor=_roi,
        bbox_head=dict(in_channels=micro_channels, fc_out_channels=128),
        mask_roi_extractor=_roi,
        mask_head=dict(num_convs=2, in_channels=micro_channels, conv_out_channels=micro_channels),
    ),
    train_cfg=dict(rpn_proposal=dict(nms_pre=1000, max_per_img=500), rcnn=dict(sampler=dict(num=128))),
)
