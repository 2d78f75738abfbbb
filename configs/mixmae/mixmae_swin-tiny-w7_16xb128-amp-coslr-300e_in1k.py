"""MixMAE with mmpretrain's stock Swin-T, shifted windows and all, as the encoder.

    tools/dist_train.sh configs/mixmae/mixmae_swin-tiny-w7_16xb128-amp-coslr-300e_in1k.py 8 --auto-scale-lr

A stock backbone does not know which tokens belong together, so attention is not masked. Any backbone whose last map
has the grid of the cells goes the same way, such as mmpretrain.PCPVT with norm_after_stage=True, or mmpretrain.ConvNeXt
with gap_before_final_norm=False, without which it gives pooled vectors in place of maps. Untuned.
"""

_base_ = './mixmae_mixmim-swin-base-w14_16xb128-amp-coslr-600e_in1k.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmpretrain.SwinTransformer',
        arch='tiny',
        img_size=224,
        drop_path_rate=0.0,
    ),
    neck=dict(in_channels=96 * 8),
    masked_attention=False,
)
train_cfg = dict(max_epochs=300)
