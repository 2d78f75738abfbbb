"""UperNet with the micro encoder on the built-in set, on a CPU: what `make demo-dense` runs.

    python tools/dataset_tools/make_shapes.py data/shapes
    python tools/train.py configs/segmentation/upernet_mixmim-swin-micro_1xb16-8e_shapes-64px.py \
        --cfg-options model.backbone.init_cfg.checkpoint=PRETRAINED.pth

Without the option it takes what the pre-training config has written. Untuned; see docs/results.md for what it gave here.
"""

_base_ = [
    '../_base_/models/upernet_mixmim-swin-micro.py',
    '../_base_/datasets/masks_shapes.py',
    '../_base_/schedules/dense_micro.py',
    '../_base_/segmentation_runtime.py',
]

model = dict(
    data_preprocessor=dict(size=(64, 64)),
    backbone=dict(
        img_size=(64, 64),
        init_cfg=dict(
            type='Pretrained', checkpoint='work_dirs/mixmae_mixmim-swin-micro_1xb64-coslr-40e_shapes-64px/epoch_40.pth'
        ),
    ),
)
train_cfg = dict(max_epochs=8, val_interval=8)
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(max_keep_ckpts=1))
