"""MixMAE with mmdet's PVT-L as the encoder, one of the encoders that the paper names.

    tools/dist_train.sh configs/mixmae/mixmae_pvt-large_16xb128-amp-coslr-300e_in1k.py 8 --auto-scale-lr

Each key of its four stages covers a square of 8, 4, 2 or 1 tokens a side, which is one cell of 32 px. Untuned.
"""

_base_ = './mixmae_mixmim-swin-base-w14_16xb128-amp-coslr-600e_in1k.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmdet.PyramidVisionTransformer',
        pretrain_img_size=_base_.image_size,
        num_layers=[3, 8, 27, 3],
        drop_path_rate=0.0,
        out_indices=(3,),
    ),
    neck=dict(in_channels=512),
)
train_cfg = dict(max_epochs=300)
