"""Mask R-CNN with ViTDet's detector (Li et al. 2022, arXiv 2203.16527) on MixingViT-B.

As in ViTDet: windows of 14 except in four blocks, a simple feature pyramid from the last map without a top-down path,
two convolutions in the RPN, four convolutions and one linear layer in the box head, LayerNorm over channels after each
convolution of the pyramid and of the box and mask heads. Unlike ViTDet: no relative positions in attention, a position
embedding trained at the grid of 1024 px, and padding masked in attention.
"""

_base_ = './mask-rcnn.py'

embed_dims = 768
norm_cfg = dict(type='mixmae_mm.ChannelNorm', eps=1e-6)

model = dict(
    backbone=dict(
        type='mixmae_mm.MixingViT',
        arch='base',
        img_size=1024,
        window_size=14,
        global_blocks=(2, 5, 8, 11),
        final_norm=False,
        train_positions=True,
        drop_path_rate=0.1,
        pad_value=_base_.pad_value,
        init_cfg=dict(
            type='Pretrained', checkpoint='work_dirs/mixedae_vit-base-p16_32xb128-amp-coslr-1600e_in1k/epoch_1600.pth'
        ),
    ),
    neck=dict(
        type='mixmae_mm.ViTPyramid',
        in_channels=embed_dims,
        halve=True,
        out_channels=_base_.channels,
        norm_cfg=norm_cfg,
    ),
    rpn_head=dict(num_convs=2),
    roi_head=dict(
        bbox_head=dict(type='mmdet.Shared4Conv1FCBBoxHead', conv_out_channels=_base_.channels, norm_cfg=norm_cfg),
        mask_head=dict(norm_cfg=norm_cfg),
    ),
    train_cfg=dict(rcnn=dict(assigner=dict(match_low_quality=False))),
)
