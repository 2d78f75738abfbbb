"""Fine-tuning of the base ViT on Caltech-101 (102 classes with the background).

    python tools/train.py configs/classification/vit-base-p16_1xb128-amp-coslr-100e_caltech101.py \
        --cfg-options model.backbone.init_cfg.checkpoint=PRETRAINED.pth

data/caltech-101 must have the layout described by mmpretrain's dataset class; nothing is downloaded. There is no
official split: the lists are those that mmpretrain publishes. The metric is mean per-class accuracy
(`single-label/recall`), as is usual for this set.

Untuned: MAE's ImageNet recipe for a smaller batch. Try several learning rates (`optim_wrapper.optimizer.lr`) and epochs.
"""

_base_ = [
    '../_base_/models/vit-base_classifier.py',
    '../_base_/datasets/small_set_224.py',
    '../_base_/schedules/mae_finetune_bs128.py',
    '../_base_/default_runtime.py',
]

num_classes = 102
data_root = 'data/caltech-101'

model = dict(data_preprocessor=dict(num_classes=num_classes), head=dict(num_classes=num_classes))
train_dataloader = dict(dataset=dict(type='mmpretrain.Caltech101', data_root=data_root))
val_dataloader = dict(dataset=dict(type='mmpretrain.Caltech101', data_root=data_root))
test_dataloader = val_dataloader
val_evaluator = [dict(type='mmpretrain.SingleLabelMetric', items=('recall',))]
test_evaluator = val_evaluator
