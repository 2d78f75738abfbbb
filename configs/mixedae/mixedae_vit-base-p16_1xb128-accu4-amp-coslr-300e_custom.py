"""MixedAE on your own images: any folder, at any depth, no classes, no annotation file. One GPU.

    python tools/dataset_tools/check_dataset.py /your/folder
    python tools/train.py configs/mixedae/mixedae_vit-base-p16_1xb128-accu4-amp-coslr-300e_custom.py \
        --cfg-options train_dataloader.dataset.data_root=/your/folder

Batch 512 by accumulation, with MAE's learning rate for it. Choose `max_epochs` for at least 100,000 updates. A few
thousand images are too few for this size: use `model.backbone.arch=small model.neck.in_channels=384`, or start from
existing weights with `mixmae pretrain --from` (docs/pretrain.md). Untuned.
"""

_base_ = './mixedae_vit-base-p16_32xb128-amp-coslr-300e_in1k.py'

data_root = 'data/images'
accumulation = 4
batch_size = 128 * accumulation

train_dataloader = dict(dataset=dict(data_root=data_root))
optim_wrapper = dict(accumulative_counts=accumulation, optimizer=dict(lr=_base_.base_lr * batch_size / 256))
auto_scale_lr = dict(base_batch_size=batch_size)
