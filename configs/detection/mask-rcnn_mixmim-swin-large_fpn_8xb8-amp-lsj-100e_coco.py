"""Mask R-CNN with MixMIMSwin-L on COCO: like the base model, with layer decay 0.9, drop path 0.3, recomputed blocks.

    tools/dist_train.sh configs/detection/mask-rcnn_mixmim-swin-large_fpn_8xb8-amp-lsj-100e_coco.py 8 \
        --cfg-options model.backbone.init_cfg.checkpoint=PRETRAINED.pth

Untuned, and not run here. A third party attributes layer decay 0.9 to the authors (weak evidence); drop path is a
guess.
"""

_base_ = './mask-rcnn_mixmim-swin-base_fpn_8xb8-amp-lsj-100e_coco.py'

model = dict(
    backbone=dict(
        arch='large',
        drop_path_rate=0.3,
        with_cp=True,
        init_cfg=dict(checkpoint='work_dirs/mixmae_mixmim-swin-large-w14_16xb128-amp-coslr-600e_in1k/epoch_600.pth'),
    ),
    neck=dict(in_channels=[192, 384, 768, 1536]),
)
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=0.9))
