"""Cascade Mask R-CNN on four blocks of MixingViT-B, as in iBOT (arXiv 2111.07832).

4conv1fc heads with SyncBN and GIoU loss, SyncBN in the pyramid, smooth L1 loss in the RPN, whose anchors stay inside
the image; regions below the IoU threshold are never matched. Unlike iBOT: padding is masked in attention, and the
position embedding is for 1024 x 1024 px.
"""

_base_ = './mask-rcnn.py'

embed_dims = 768
blocks = (3, 5, 7, 11)
stages = 3
norm_cfg = dict(type='SyncBN')

_bbox_head = dict(
    type='mmdet.ConvFCBBoxHead',
    num_shared_convs=4,
    num_shared_fcs=1,
    in_channels=_base_.channels,
    conv_out_channels=_base_.channels,
    fc_out_channels=1024,
    roi_feat_size=7,
    num_classes=_base_.num_classes,
    norm_cfg=norm_cfg,
    reg_class_agnostic=False,
    reg_decoded_bbox=True,
    loss_cls=dict(type='mmdet.CrossEntropyLoss'),
    loss_bbox=dict(type='mmdet.GIoULoss', loss_weight=10.0),
)
_rcnn = _base_.model.train_cfg.rcnn

model = dict(
    type='mmdet.CascadeRCNN',
    backbone=dict(
        type='mixmae_mm.MixingViT',
        arch='base',
        img_size=1024,
        out_indices=blocks,
        final_norm=False,
        train_positions=True,
        drop_path_rate=0.2,
        pad_value=_base_.pad_value,
        init_cfg=dict(
            type='Pretrained', checkpoint='work_dirs/mixedae_vit-base-p16_32xb128-amp-coslr-1600e_in1k/epoch_1600.pth'
        ),
    ),
    neck=[
        dict(type='mixmae_mm.ViTPyramid', in_channels=embed_dims, norm_cfg=norm_cfg),
        dict(type='mmdet.FPN', in_channels=[embed_dims] * 4, out_channels=_base_.channels, num_outs=5),
    ],
    rpn_head=dict(loss_bbox=dict(type='mmdet.SmoothL1Loss', beta=1 / 9)),
    roi_head=dict(
        type='mmdet.CascadeRoIHead',
        num_stages=stages,
        stage_loss_weights=[1, 0.5, 0.25],
        bbox_head=[
            dict(
                _bbox_head,
                bbox_coder=dict(type='mmdet.DeltaXYWHBBoxCoder', target_means=[0.0] * 4, target_stds=deviations),
            )
            for deviations in ([0.1, 0.1, 0.2, 0.2], [0.05, 0.05, 0.1, 0.1], [0.033, 0.033, 0.067, 0.067])
        ],
    ),
    train_cfg=dict(
        rpn=dict(allowed_border=0),
        rpn_proposal=dict(nms_pre=2000, max_per_img=2000),
        rcnn=[
            dict(
                _rcnn,
                assigner=dict(
                    type='mmdet.MaxIoUAssigner',
                    pos_iou_thr=iou,
                    neg_iou_thr=iou,
                    min_pos_iou=iou,
                    match_low_quality=False,
                ),
            )
            for iou in (0.5, 0.6, 0.7)
        ],
    ),
)
