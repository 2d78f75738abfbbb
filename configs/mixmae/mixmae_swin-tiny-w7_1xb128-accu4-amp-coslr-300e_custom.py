"""MixMAE with mmpretrain's stock Swin-T on your own images: any folder, at any depth. One GPU.

    python tools/train.py configs/mixmae/mixmae_swin-tiny-w7_1xb128-accu4-amp-coslr-300e_custom.py \
        --cfg-options train_dataloader.dataset.data_root=/your/folder

Any other encoder of docs/encoders.md works the same way: use `model.backbone` of its config. Untuned.
"""

_base_ = './mixmae_mixmim-swin-base-w14_16xb128-amp-coslr-600e_in1k.py'

data_root = 'data/images'
accumulation = 4
batch_size = 128 * accumulation

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmpretrain.SwinTransformer',
        arch='tiny',
        img_size=_base_.image_size,
        drop_path_rate=0.0,
    ),
    neck=dict(in_channels=96 * 8),
)
train_dataloader = dict(dataset=dict(data_root=data_root))
optim_wrapper = dict(accumulative_counts=accumulation, optimizer=dict(lr=_base_.base_lr * batch_size / 256))
auto_scale_lr = dict(base_batch_size=batch_size)
train_cfg = dict(max_epochs=300)
