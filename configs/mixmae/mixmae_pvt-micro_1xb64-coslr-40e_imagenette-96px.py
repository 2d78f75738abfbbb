"""MixMAE with a micro PVT of mmdet on Imagenette at 96 px, on a CPU.

    python tools/train.py configs/mixmae/mixmae_pvt-micro_1xb64-coslr-40e_imagenette-96px.py

Its keys stand for squares of 4, 2 and 1 tokens a side, each within a cell of 16 px. Untuned.
"""

_base_ = './mixmae_mixmim-swin-micro_1xb64-coslr-40e_imagenette-96px.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmdet.PyramidVisionTransformer',
        pretrain_img_size=_base_.image_size,
        embed_dims=32,
        num_stages=3,
        num_layers=[2, 2, 2],
        num_heads=[1, 2, 4],
        patch_sizes=[4, 2, 2],
        strides=[4, 2, 2],
        paddings=[0, 0, 0],
        sr_ratios=[4, 2, 1],
        mlp_ratios=[4, 4, 4],
        drop_path_rate=0.0,
        out_indices=(2,),
    )
)
