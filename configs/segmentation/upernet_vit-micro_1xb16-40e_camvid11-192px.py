"""UperNet with the micro ViT on 367 street scenes of CamVid (11 classes), on a CPU.

    python tools/train.py configs/segmentation/upernet_vit-micro_1xb16-40e_camvid11-192px.py \
        --cfg-options model.backbone.init_cfg.checkpoint=PRETRAINED.pth

Without the option, training starts from the checkpoint of MixedAE's config for Imagenette;
`model.backbone.init_cfg=None optim_wrapper.paramwise_cfg.layer_decay_rate=1` trains from scratch. Untuned.
"""

_base_ = [
    '../_base_/models/upernet_vit-micro.py',
    '../_base_/datasets/masks_small.py',
    '../_base_/schedules/dense_micro.py',
    '../_base_/segmentation_runtime.py',
]

model = dict(
    backbone=dict(
        init_cfg=dict(
            type='Pretrained',
            checkpoint='work_dirs/mixedae_vit-micro-p8_1xb64-coslr-40e_imagenette-96px/epoch_40.pth',
        )
    )
)
train_cfg = dict(max_epochs=40, val_interval=10)
auto_scale_lr = dict(base_batch_size=_base_.train_dataloader.batch_size)
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(max_keep_ckpts=1))
