"""UperNet with the micro encoder on 367 street scenes of CamVid (11 classes), on a CPU.

    python tools/train.py configs/segmentation/upernet_mixmim-swin-micro_1xb16-40e_camvid11-192px.py \
        --cfg-options model.backbone.init_cfg.checkpoint=PRETRAINED.pth

`data/camvid11_384x288` holds img_dir/ and ann_dir/, each with train, val and test; results are for whole images of the
test split. Without the option, training starts from the checkpoint of the pre-training config for Imagenette. Measured
here, untuned: docs/results.md.
"""

_base_ = [
    '../_base_/models/upernet_mixmim-swin-micro.py',
    '../_base_/datasets/masks_small.py',
    '../_base_/schedules/dense_micro.py',
    '../_base_/segmentation_runtime.py',
]

model = dict(
    backbone=dict(
        init_cfg=dict(
            type='Pretrained',
            checkpoint='work_dirs/mixmae_mixmim-swin-micro_1xb64-coslr-40e_imagenette-96px/epoch_40.pth',
        )
    )
)
train_cfg = dict(max_epochs=40, val_interval=10)
auto_scale_lr = dict(base_batch_size=_base_.train_dataloader.batch_size)
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(max_keep_ckpts=1))
