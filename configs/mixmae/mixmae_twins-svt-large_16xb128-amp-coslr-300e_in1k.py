"""MixMAE with mmpretrain's Twins-SVT-L as the encoder; the paper names Twins-L.

    tools/dist_train.sh configs/mixmae/mixmae_twins-svt-large_16xb128-amp-coslr-300e_in1k.py 8 --auto-scale-lr

Its position encoding is a convolution over neighboring tokens, computed separately for each source. Untuned.
"""

_base_ = './mixmae_mixmim-swin-base-w14_16xb128-amp-coslr-600e_in1k.py'

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
train_cfg = dict(max_epochs=300)
