"""UperNet with the plain ViT-L on ADE20K: crops of 640 px, 160,000 iterations of batch 16.

    tools/dist_train.sh configs/segmentation/upernet_vit-large_8xb2-amp-160k_ade20k-640x640.py 8 \
        --cfg-options model.backbone.init_cfg.checkpoint=PRETRAINED.pth

Settings by analogy with the base model's. 54.0 mIoU is reported for MixedAE, by our reading with ViT-L; the setup is
unknown. Untuned, and not run here.
"""

_base_ = [
    '../_base_/models/upernet_vit-base.py',
    '../_base_/datasets/ade20k.py',
    '../_base_/schedules/ade20k_160k.py',
    '../_base_/segmentation_runtime_by_iteration.py',
]

crop_size = (640, 640)
scale = (2560, 640)
embed_dims = 1024

model = dict(
    data_preprocessor=dict(size=crop_size),
    backbone=dict(
        arch='large',
        img_size=crop_size,
        out_indices=(7, 11, 15, 23),
        drop_path_rate=0.2,
        with_cp=True,
        init_cfg=dict(checkpoint='work_dirs/mixedae_vit-large-p16_32xb128-amp-coslr-1600e_in1k/epoch_1600.pth'),
    ),
    neck=dict(in_channels=embed_dims),
    decode_head=dict(in_channels=[embed_dims] * 4, channels=embed_dims),
    auxiliary_head=dict(in_channels=embed_dims),
    test_cfg=dict(crop_size=crop_size, stride=tuple(side * 2 // 3 for side in crop_size)),
)
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=0.75))
_changed = {
    'RandomResize': dict(scale=scale),
    'mmseg.Resize': dict(scale=scale),
    'mmseg.RandomCrop': dict(crop_size=crop_size),
}
train_pipeline = [dict(step, **_changed.get(step['type'], {})) for step in _base_.train_pipeline]
test_pipeline = [dict(step, **_changed.get(step['type'], {})) for step in _base_.test_pipeline]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
_transforms = [
    [dict(one, scale=tuple(side * 5 // 4 for side in one['scale'])) if 'scale' in one else one for one in choices]
    for step in _base_.tta_pipeline
    for choices in step.get('transforms', [])
]
tta_pipeline = [
    dict(step, transforms=_transforms) if step['type'] == 'TestTimeAug' else step for step in _base_.tta_pipeline
]
