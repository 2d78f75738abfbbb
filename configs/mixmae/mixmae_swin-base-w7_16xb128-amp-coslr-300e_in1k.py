"""MixMAE with mmpretrain's stock Swin-B as the encoder.

    tools/dist_train.sh configs/mixmae/mixmae_swin-base-w7_16xb128-amp-coslr-300e_in1k.py 8 --auto-scale-lr

Untuned.
"""

_base_ = './mixmae_mixmim-swin-base-w14_16xb128-amp-coslr-600e_in1k.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmpretrain.SwinTransformer',
        arch='base',
        img_size=_base_.image_size,
        drop_path_rate=0.0,
    ),
    neck=dict(in_channels=128 * 8),
)
train_cfg = dict(max_epochs=300)
