"""UperNet on your own images and masks, on one GPU: copy this file and change its first settings.

    python tools/dataset_tools/check_dataset.py --config configs/segmentation/upernet_mixmim-swin-base_1xb4-amp-40k_custom.py
    python tools/train.py configs/segmentation/upernet_mixmim-swin-base_1xb4-amp-40k_custom.py \
        --cfg-options model.backbone.init_cfg.checkpoint=PRETRAINED.pth

Masks are single-channel PNG files, named like their images. Each pixel is a class index, counted from 0, or 255 to be
ignored. Untuned.
"""

_base_ = './upernet_mixmim-swin-base_8xb2-amp-160k_ade20k-512x512.py'

data_root = 'data/custom'
classes = ('background', 'object')
train_folders = dict(img_path='images/train', seg_map_path='masks/train')
val_folders = dict(img_path='images/val', seg_map_path='masks/val')

num_classes = len(classes)
model = dict(decode_head=dict(num_classes=num_classes), auxiliary_head=dict(num_classes=num_classes))
_changed = dict(LoadAnnotations=dict(reduce_zero_label=False))
train_pipeline = [dict(step, **_changed.get(step['type'], {})) for step in _base_.train_pipeline]
test_pipeline = [dict(step, **_changed.get(step['type'], {})) for step in _base_.test_pipeline]
_changed['TestTimeAug'] = dict(
    transforms=[
        [dict(one, **_changed.get(one['type'], {})) for one in choices]
        for step in _base_.tta_pipeline
        for choices in step.get('transforms', [])
    ]
)
tta_pipeline = [dict(step, **_changed.get(step['type'], {})) for step in _base_.tta_pipeline]
_own = dict(
    _delete_=True,
    type='mmseg.BaseSegDataset',
    data_root=data_root,
    metainfo=dict(classes=classes),
    img_suffix='.jpg',
    seg_map_suffix='.png',
)
train_dataloader = dict(batch_size=4, dataset=dict(_own, data_prefix=train_folders, pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(_own, data_prefix=val_folders, pipeline=test_pipeline))
test_dataloader = val_dataloader
train_cfg = dict(max_iters=40_000, val_interval=4000)
auto_scale_lr = dict(base_batch_size=4)
default_hooks = dict(checkpoint=dict(interval=4000))
