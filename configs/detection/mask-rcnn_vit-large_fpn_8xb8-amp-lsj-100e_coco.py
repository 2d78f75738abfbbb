"""Mask R-CNN with the plain ViT-L on COCO, ViTDet's detector and schedule: 1024 px, large-scale jitter, batch 64.

    tools/dist_train.sh configs/detection/mask-rcnn_vit-large_fpn_8xb8-amp-lsj-100e_coco.py 8 \
        --cfg-options model.backbone.init_cfg.checkpoint=PRETRAINED.pth

Like the base model, with ViTDet's layer decay 0.8 and drop path 0.4, and recomputed blocks. Untuned, and not run here.
"""

_base_ = './mask-rcnn_vit-base_fpn_8xb8-amp-lsj-100e_coco.py'

model = dict(
    backbone=dict(
        arch='large',
        global_blocks=(5, 11, 17, 23),
        drop_path_rate=0.4,
        with_cp=True,
        init_cfg=dict(checkpoint='work_dirs/mixedae_vit-large-p16_32xb128-amp-coslr-1600e_in1k/epoch_1600.pth'),
    ),
    neck=dict(in_channels=1024),
)
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=0.8))
