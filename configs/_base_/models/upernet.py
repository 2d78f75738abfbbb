"""UperNet with an FCN auxiliary head (Xiao et al. 2018), as configured in mmseg; configs add the backbone.

Testing slides a window of the crop size over the image, with a stride of two thirds of it.
"""

num_classes = 150
image_size = (512, 512)
channels = 512
pad_value = -1e3  # no normalized pixel has this value, so the encoder can recognize padding

model = dict(
    type='mmseg.EncoderDecoder',
    data_preprocessor=dict(
        type='mmseg.SegDataPreProcessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        size=image_size,
        pad_val=pad_value,
        seg_pad_val=255,
    ),
    decode_head=dict(
        type='mmseg.UPerHead',
        in_index=[0, 1, 2, 3],
        pool_scales=(1, 2, 3, 6),
        channels=channels,
        dropout_ratio=0.1,
        num_classes=num_classes,
        norm_cfg=dict(type='SyncBN', requires_grad=True),
        align_corners=False,
        loss_decode=dict(type='mmseg.CrossEntropyLoss', loss_weight=1.0),
    ),
    auxiliary_head=dict(
        type='mmseg.FCNHead',
        in_index=2,
        channels=256,
        num_convs=1,
        concat_input=False,
        dropout_ratio=0.1,
        num_classes=num_classes,
        norm_cfg=dict(type='SyncBN', requires_grad=True),
        align_corners=False,
        loss_decode=dict(type='mmseg.CrossEntropyLoss', loss_weight=0.4),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='slide', crop_size=image_size, stride=tuple(side * 2 // 3 for side in image_size)),
)
