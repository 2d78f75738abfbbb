"""Fine-tuning of the base ViT on your own folders of classes, on one GPU.

    python tools/dataset_tools/check_dataset.py /your/folder
    python tools/train.py configs/classification/vit-base-p16_1xb64-accu2-amp-coslr-100e_custom.py \
        --cfg-options {train,val,test}_dataloader.dataset.data_root=/your/folder \
        model.backbone.init_cfg.checkpoint=PRETRAINED.pth

`/your/folder` holds train/ and val/, each with one folder per class, which set the number of classes.
Batch 128 by accumulation, learning rate 2.5e-4, layer decay 0.65. Untuned: MAE's ImageNet recipe for a smaller batch.
Try several learning rates and epochs.
"""

_base_ = [
    '../_base_/models/vit-base_classifier.py',
    '../_base_/datasets/own_classes_224.py',
    '../_base_/schedules/mae_finetune_bs128.py',
    '../_base_/default_runtime.py',
]

num_classes = 'auto'  # the number of class folders

model = dict(data_preprocessor=dict(num_classes=num_classes), head=dict(num_classes=num_classes))
optim_wrapper = dict(accumulative_counts=2)
