"""Mask R-CNN with the micro ViT on 276 labeled images of the built-in set, on a CPU.

    python tools/dataset_tools/make_materials.py data/materials
    python tools/train.py configs/detection/mask-rcnn_vit-micro_fpn_1xb16-20e_materials276-64px.py \
        --cfg-options model.backbone.init_cfg.checkpoint=PRETRAINED.pth

It detects the patches of other materials, all as one class. Without the option, training starts from the checkpoint of
the pre-training config. Untuned, and not run to completion here.
"""

_base_ = [
    '../_base_/models/mask-rcnn_vit-micro.py',
    '../_base_/datasets/materials_patches.py',
    '../_base_/schedules/dense_micro.py',
    '../_base_/detection_runtime.py',
]

model = dict(
    backbone=dict(
        img_size=_base_.test_size,
        init_cfg=dict(
            type='Pretrained', checkpoint='work_dirs/mixedae_vit-micro-p8_1xb64-coslr-40e_materials-64px/epoch_40.pth'
        ),
    ),
    roi_head=dict(bbox_head=dict(num_classes=1), mask_head=dict(num_classes=1)),
    # images have at most two objects, so few regions suffice
    train_cfg=dict(
        rpn=dict(sampler=dict(num=64)),
        rpn_proposal=dict(nms_pre=200, max_per_img=50),
        rcnn=dict(sampler=dict(num=32)),
    ),
    test_cfg=dict(rpn=dict(nms_pre=200, max_per_img=50), rcnn=dict(max_per_img=20)),
)
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=1.0))
train_cfg = dict(max_epochs=20, val_interval=20)
auto_scale_lr = dict(base_batch_size=_base_.train_dataloader.batch_size)
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(max_keep_ckpts=1))
