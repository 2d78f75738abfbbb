"""Fine-tuning of the base ViT on VOC2007 (20 classes, several an image).

    python tools/train.py configs/classification/vit-base-p16_1xb128-amp-coslr-100e_voc2007.py \
        --cfg-options model.backbone.init_cfg.checkpoint=PRETRAINED.pth

data/VOC2007 is laid out as mmpretrain's class describes it; nothing is downloaded.
The metric is mean average precision over 11 points of the curve, as is usual for this set.

Untuned: MAE's ImageNet recipe for a smaller batch. Try several learning rates (`optim_wrapper.optimizer.lr`) and epochs.
"""

_base_ = [
    '../_base_/models/vit-base_classifier.py',
    '../_base_/datasets/small_set_224.py',
    '../_base_/schedules/mae_finetune_bs128.py',
    '../_base_/default_runtime.py',
]

num_classes = 20
data_root = 'data/VOC2007'
test_pipeline = [
    dict(step, algorithm_keys=('gt_label_difficult',)) if step['type'] == 'mmpretrain.PackInputs' else step
    for step in _base_.test_pipeline
]

model = dict(
    data_preprocessor=dict(num_classes=num_classes),
    head=dict(
        _delete_=True,
        type='mmpretrain.MultiLabelLinearClsHead',
        num_classes=num_classes,
        in_channels=_base_.model.head.in_channels,
        loss=dict(type='mmpretrain.CrossEntropyLoss', use_sigmoid=True),
        init_cfg=_base_.model.head.init_cfg,
    ),
    train_cfg=None,  # labels of several classes are not smoothed or mixed
)
train_dataloader = dict(dataset=dict(type='mmpretrain.VOC', data_root=data_root, split='trainval'))
val_dataloader = dict(dataset=dict(type='mmpretrain.VOC', data_root=data_root, pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = [dict(type='mixmae_mm.ElevenPointPrecision')]
test_evaluator = val_evaluator
