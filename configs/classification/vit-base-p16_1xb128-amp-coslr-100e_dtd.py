"""Fine-tuning of the base ViT on DTD (47 textures).

    python tools/train.py configs/classification/vit-base-p16_1xb128-amp-coslr-100e_dtd.py \
        --cfg-options model.backbone.init_cfg.checkpoint=PRETRAINED.pth

data/dtd must have the layout described by mmpretrain's dataset class; nothing is downloaded.
The metric is top-1 accuracy, as is usual for this set.

Untuned: MAE's ImageNet recipe for a smaller batch. Try several learning rates (`optim_wrapper.optimizer.lr`) and epochs.
"""

_base_ = [
    '../_base_/models/vit-base_classifier.py',
    '../_base_/datasets/small_set_224.py',
    '../_base_/schedules/mae_finetune_bs128.py',
    '../_base_/default_runtime.py',
]

num_classes = 47
data_root = 'data/dtd'

model = dict(data_preprocessor=dict(num_classes=num_classes), head=dict(num_classes=num_classes))
train_dataloader = dict(dataset=dict(type='mmpretrain.DTD', data_root=data_root, split='trainval'))
val_dataloader = dict(dataset=dict(type='mmpretrain.DTD', data_root=data_root))
test_dataloader = val_dataloader
