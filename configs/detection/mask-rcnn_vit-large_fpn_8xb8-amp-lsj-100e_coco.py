"""Mask R-CNN with the plain ViT-L on COCO, as ViTDet: 1024 px with large-scale jitter, 100 epochs, batch 64.

    tools/dist_train.sh configs/detection/mask-rcnn_vit-large_fpn_8xb8-amp-lsj-100e_coco.py 8 \
        --cfg-options model.backbone.init_cfg.checkpoint=PRETRAINED.pth

As the base model's, with layer decay 0.8, drop path 0.4 and blocks recomputed. Reported by detectron2 for MAE's ViT-L
with its own ViTDet: 55.5 box, 49.2 mask AP. Untuned, and not run here.
"""

_base_ = './mask-rcnn_vit-base_fpn_8xb8-amp-lsj-100e_coco.py'

embed_dims = 1024

model = dict(
    backbone=dict(
        arch='large',
        global_blocks=(5, 11, 17, 23),
        drop_path_rate=0.4,
        with_cp=True,
        init_cfg=dict(checkpoint='work_dirs/mixedae_vit-large-p16_32xb128-amp-coslr-1600e_in1k/epoch_1600.pth'),
    ),
    neck=[
        dict(type='mixmae_mm.ViTPyramid', in_channels=embed_dims, halve=True),
        dict(
            type='mmdet.FPN',
            in_channels=[embed_dims // 4, embed_dims // 2, embed_dims, embed_dims],
            out_channels=_base_.channels,
            num_outs=5,
        ),
    ],
)
optim_wrapper = dict(paramwise_cfg=dict(decay_rate=0.8))
