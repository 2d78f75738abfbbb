"""UperNet with MixMIMSwin-L on ADE20K: crops of 640 px, 160,000 iterations of batch 16.

    tools/dist_train.sh configs/segmentation/upernet_mixmim-swin-large_8xb2-amp-160k_ade20k-640x640.py 8 \
        --cfg-options model.backbone.init_cfg.checkpoint=PRETRAINED.pth

Windows of 20 divide 640 px at every stride; the wide ones see the whole crop. Reported by a public list of benchmark
results for MixMIM-L: 53.8 mIoU. Settings by analogy with the base model's. Untuned, and not run here.
"""

_base_ = [
    '../_base_/models/upernet_mixmim-swin-base.py',
    '../_base_/datasets/ade20k.py',
    '../_base_/schedules/ade20k_160k.py',
    '../_base_/segmentation_runtime_by_iteration.py',
]

crop_size = (640, 640)
scale = (2560, 640)

model = dict(
    data_preprocessor=dict(size=crop_size),
    backbone=dict(
        arch='large',
        img_size=crop_size,
        window_sizes=(20, 20, 20, 20),
        wide_window=40,
        drop_path_rate=0.2,
        with_cp=True,
        init_cfg=dict(checkpoint='work_dirs/mixmae_mixmim-swin-large-w14_16xb128-amp-coslr-600e_in1k/epoch_600.pth'),
    ),
    decode_head=dict(in_channels=[192, 384, 768, 1536]),
    auxiliary_head=dict(in_channels=768),
    test_cfg=dict(crop_size=crop_size, stride=tuple(side * 2 // 3 for side in crop_size)),
)
optim_wrapper = dict(optimizer=dict(lr=5e-5), paramwise_cfg=dict(layer_decay_rate=0.9))
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
