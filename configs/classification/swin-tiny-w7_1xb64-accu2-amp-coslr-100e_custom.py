"""Fine-tuning of mmpretrain's Swin-T on your own folders of classes, on one GPU.

    python tools/dataset_tools/check_dataset.py /your/folder
    python tools/train.py configs/classification/swin-tiny-w7_1xb64-accu2-amp-coslr-100e_custom.py \
        --cfg-options {train,val,test}_dataloader.dataset.data_root=/your/folder \
        model.backbone.init_cfg.checkpoint=PRETRAINED.pth

`/your/folder` holds train/ and val/, each with one folder per class, which set the number of classes.
Batch 128 by accumulation, learning rate 2.5e-4, layer decay 0.7. Untuned: the recipe of our base MixMIMSwin.
Try several learning rates and epochs.
"""

_base_ = [
    '../_base_/models/finetuned_classifier.py',
    '../_base_/datasets/own_classes_224.py',
    '../_base_/schedules/mae_finetune_bs128.py',
    '../_base_/default_runtime.py',
]

num_classes = 'auto'  # the number of class folders

model = dict(
    data_preprocessor=dict(num_classes=num_classes),
    backbone=dict(
        type='mmpretrain.SwinTransformer',
        arch='tiny',
        img_size=224,
        drop_path_rate=0.1,
        init_cfg=dict(
            type='Pretrained',
            prefix='backbone.',
            checkpoint='work_dirs/mixmae_swin-tiny-w7_1xb128-accu4-amp-coslr-300e_custom/epoch_300.pth',
        ),
    ),
    head=dict(in_channels=96 * 8, num_classes=num_classes),
)
optim_wrapper = dict(accumulative_counts=2, paramwise_cfg=dict(layer_decay_rate=0.7))
