"""UperNet with the micro encoder on the built-in set, on a CPU: what `make demo-dense` runs.

    python tools/dataset_tools/make_materials.py data/materials
    python tools/train.py configs/segmentation/upernet_vit-micro_1xb16-8e_materials-64px.py \
        --cfg-options model.backbone.init_cfg.checkpoint=PRETRAINED.pth

Without the option it takes what the pre-training config has written. Untuned, and not run to its end here.
"""

_base_ = [
    '../_base_/models/upernet_vit-micro.py',
    '../_base_/datasets/masks_small.py',
    '../_base_/schedules/dense_micro.py',
    '../_base_/segmentation_runtime.py',
]

data_root = 'data/materials'
classes = (
    *('brick', 'bubbles', 'corrugation', 'cracks', 'fur', 'granite', 'herringbone'),
    *('honeycomb', 'marble', 'pebbles', 'scales', 'terrazzo', 'weave', 'wood'),
)
crop_size = (64, 64)
batch_size = 16

model = dict(
    data_preprocessor=dict(size=crop_size),
    backbone=dict(
        img_size=crop_size,
        init_cfg=dict(
            type='Pretrained', checkpoint='work_dirs/mixedae_vit-micro-p8_1xb64-coslr-40e_materials-64px/epoch_40.pth'
        ),
    ),
    decode_head=dict(num_classes=len(classes)),
    auxiliary_head=dict(num_classes=len(classes)),
)
train_pipeline = [
    dict(type='mixmae_mm.SeedSample'),
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='RandomFlip', prob=0.5),
    dict(type='mmseg.PackSegInputs'),
]
_set = dict(data_root=data_root, metainfo=dict(classes=classes))
train_dataloader = dict(
    batch_size=batch_size,
    dataset=dict(_set, data_prefix=dict(img_path='train', seg_map_path='masks/train'), pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=batch_size, dataset=dict(_set, data_prefix=dict(img_path='val', seg_map_path='masks/val'))
)
test_dataloader = val_dataloader
train_cfg = dict(max_epochs=8, val_interval=8)
auto_scale_lr = dict(base_batch_size=batch_size)
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(max_keep_ckpts=1))
