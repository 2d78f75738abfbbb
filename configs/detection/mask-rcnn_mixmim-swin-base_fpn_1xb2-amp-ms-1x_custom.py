"""Mask R-CNN on your own data in COCO's format, on one GPU: copy this file and change its first three settings.

    python tools/dataset_tools/check_dataset.py --config configs/detection/mask-rcnn_mixmim-swin-base_fpn_1xb2-amp-ms-1x_custom.py
    python tools/train.py configs/detection/mask-rcnn_mixmim-swin-base_fpn_1xb2-amp-ms-1x_custom.py \
        --cfg-options model.backbone.init_cfg.checkpoint=PRETRAINED.pth

`data_root` holds images and the two JSON files; `classes` names the categories to detect, all or some of them.
Untuned: the learning rate is an eighth of COCO's, for batch 2; for other batch sizes, add `--auto-scale-lr`.
"""

_base_ = './mask-rcnn_mixmim-swin-base_fpn_8xb2-amp-ms-1x_coco.py'

data_root = 'data/custom/'
classes = ('cat', 'dog')
train_json, train_images, val_json, val_images = 'train.json', 'images/', 'val.json', 'images/'

num_classes = len(classes)
model = dict(roi_head=dict(bbox_head=dict(num_classes=num_classes), mask_head=dict(num_classes=num_classes)))
_own = dict(data_root=data_root, metainfo=dict(classes=classes))
train_dataloader = dict(dataset=dict(_own, ann_file=train_json, data_prefix=dict(img=train_images)))
val_dataloader = dict(dataset=dict(_own, ann_file=val_json, data_prefix=dict(img=val_images)))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + val_json)
test_evaluator = val_evaluator
optim_wrapper = dict(optimizer=dict(lr=1e-4 * 2 / _base_.auto_scale_lr.base_batch_size))
auto_scale_lr = dict(base_batch_size=2)
