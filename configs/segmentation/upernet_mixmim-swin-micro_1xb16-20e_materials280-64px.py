"""UperNet with the micro encoder on 280 labeled images of the built-in set, on a CPU.

    python tools/dataset_tools/make_materials.py data/materials
    python tools/train.py configs/segmentation/upernet_mixmim-swin-micro_1xb16-20e_materials280-64px.py \
        --cfg-options model.backbone.init_cfg.checkpoint=PRETRAINED.pth

Without the option, training starts from the checkpoint of the pre-training config. Untuned; results here:
docs/results.md.
"""

_base_ = [
    '../_base_/models/upernet_mixmim-swin-micro.py',
    '../_base_/datasets/materials_masks.py',
    '../_base_/schedules/dense_micro.py',
    '../_base_/segmentation_runtime.py',
]

model = dict(
    data_preprocessor=dict(size=_base_.crop_size),
    backbone=dict(
        img_size=_base_.crop_size,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='work_dirs/mixmae_mixmim-swin-micro_1xb64-coslr-40e_materials-64px/epoch_40.pth',
        ),
    ),
    decode_head=dict(num_classes=len(_base_.classes)),
    auxiliary_head=dict(num_classes=len(_base_.classes)),
)
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=1.0))
train_cfg = dict(max_epochs=20, val_interval=20)
auto_scale_lr = dict(base_batch_size=_base_.train_dataloader.batch_size)
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(max_keep_ckpts=1))
