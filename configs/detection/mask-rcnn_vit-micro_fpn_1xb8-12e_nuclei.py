"""Mask R-CNN with the micro ViT on 534 micrographs of nuclei (2018 Data Science Bowl), on a CPU.

    python tools/train.py configs/detection/mask-rcnn_vit-micro_fpn_1xb8-12e_nuclei.py \
        --cfg-options model.backbone.init_cfg.checkpoint=PRETRAINED.pth

Without the option, training starts from the checkpoint of MixedAE's config for Imagenette;
`model.backbone.init_cfg=None optim_wrapper.paramwise_cfg.layer_decay_rate=1` trains from scratch. Untuned.
"""

_base_ = [
    '../_base_/models/mask-rcnn_vit-micro.py',
    '../_base_/datasets/coco_instance_small.py',
    '../_base_/schedules/dense_micro.py',
    '../_base_/detection_runtime.py',
]

model = dict(
    backbone=dict(
        init_cfg=dict(
            type='Pretrained',
            checkpoint='work_dirs/mixedae_vit-micro-p8_1xb64-coslr-40e_imagenette-96px/epoch_40.pth',
        )
    ),
    roi_head=dict(bbox_head=dict(num_classes=1), mask_head=dict(num_classes=1)),
    test_cfg=dict(rcnn=dict(max_per_img=400)),
)
val_evaluator = dict(proposal_nums=(100, 300, 400))
test_evaluator = val_evaluator
auto_scale_lr = dict(base_batch_size=_base_.train_dataloader.batch_size)
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(max_keep_ckpts=1))
