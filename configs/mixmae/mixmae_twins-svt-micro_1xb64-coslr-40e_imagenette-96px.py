"""MixMAE with a micro Twins-SVT of mmseg on Imagenette at 96 px, on a CPU.

    python tools/train.py configs/mixmae/mixmae_twins-svt-micro_1xb64-coslr-40e_imagenette-96px.py

Its position encoding is a convolution over neighbors, computed source by source. Untuned.
"""

_base_ = './mixmae_mixmim-swin-micro_1xb64-coslr-40e_imagenette-96px.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmseg.SVT',
        embed_dims=[32, 64, 128],
        num_heads=[1, 2, 4],
        depths=[2, 2, 2],
        patch_sizes=[4, 2, 2],
        strides=[4, 2, 2],
        sr_ratios=[4, 2, 1],
        windiow_sizes=[6, 6, 6],
        mlp_ratios=[4, 4, 4],
        qkv_bias=True,
        norm_after_stage=True,
        drop_path_rate=0.0,
        out_indices=(2,),
    )
)
