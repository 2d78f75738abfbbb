"""Micro encoders of other libraries, with three stages of strides 4, 8 and 16, for images of about 100 to 300 px."""

stock_micro = dict(
    swin=dict(embed_dims=32, depths=(2, 2, 2), num_heads=(1, 2, 4), strides=(4, 2, 2), window_size=6),
    pvt=dict(
        type='mmdet.PyramidVisionTransformer',
        pretrain_img_size=96,
        embed_dims=32,
        num_stages=3,
        num_layers=[2, 2, 2],
        num_heads=[1, 2, 4],
        patch_sizes=[4, 2, 2],
        strides=[4, 2, 2],
        paddings=[0, 0, 0],
        sr_ratios=[4, 2, 1],
        mlp_ratios=[4, 4, 4],
    ),
    twins_svt=dict(
        type='mmseg.SVT',
        embed_dims=[32, 64, 128],
        num_heads=[1, 2, 4],
        depths=[2, 2, 2],
        patch_sizes=[4, 2, 2],
        strides=[4, 2, 2],
        sr_ratios=[4, 2, 1],
        windiow_sizes=[6, 6, 6],  # mmseg's spelling
        mlp_ratios=[4, 4, 4],
        qkv_bias=True,
        norm_after_stage=True,
    ),
)
