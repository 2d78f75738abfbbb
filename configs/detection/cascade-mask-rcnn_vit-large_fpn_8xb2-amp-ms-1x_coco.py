"""Cascade Mask R-CNN with the plain ViT-L on COCO: like the base model, with layer decay 0.8 and recomputed blocks.

    tools/dist_train.sh configs/detection/cascade-mask-rcnn_vit-large_fpn_8xb2-amp-ms-1x_coco.py 8 \
        --cfg-options model.backbone.init_cfg.checkpoint=PRETRAINED.pth

Untuned, and not run here: iBOT has no such size, so layer decay and the choice of output blocks are guesses.
"""

_base_ = './cascade-mask-rcnn_vit-base_fpn_8xb2-amp-ms-1x_coco.py'

embed_dims = 1024

model = dict(
    backbone=dict(
        arch='large',
        out_indices=(7, 11, 15, 23),
        with_cp=True,
        init_cfg=dict(checkpoint='work_dirs/mixedae_vit-large-p16_32xb128-amp-coslr-1600e_in1k/epoch_1600.pth'),
    ),
    neck=[
        dict(type='mixmae_mm.ViTPyramid', in_channels=embed_dims, norm_cfg=_base_.norm_cfg),
        dict(type='mmdet.FPN', in_channels=[embed_dims] * 4, out_channels=_base_.channels, num_outs=5),
    ],
)
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=0.8))
