"""MixMAE with mmpretrain's Twins-SVT-L on your own images: any folder, at any depth. One GPU.

    python tools/train.py configs/mixmae/mixmae_twins-svt-large_1xb128-accu4-amp-coslr-300e_custom.py \
        --cfg-options train_dataloader.dataset.data_root=/your/folder

A few thousand images are too few for this size: start from official weights (docs/encoders.md), or use `arch='small'`
with 512 `in_channels` of the neck. Untuned.
"""

_base_ = './mixmae_mixmim-swin-base-w14_16xb128-amp-coslr-600e_in1k.py'

data_root = 'data/images'
accumulation = 4
batch_size = 128 * accumulation

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmpretrain.SVT',
        arch='large',
        norm_after_stage=[False, False, False, True],
        qkv_bias=True,
        drop_path_rate=0.0,
        out_indices=(3,),
    ),
    neck=dict(in_channels=1024),
)
train_dataloader = dict(dataset=dict(data_root=data_root))
optim_wrapper = dict(accumulative_counts=accumulation, optimizer=dict(lr=_base_.base_lr * batch_size / 256))
auto_scale_lr = dict(base_batch_size=batch_size)
train_cfg = dict(max_epochs=300)
