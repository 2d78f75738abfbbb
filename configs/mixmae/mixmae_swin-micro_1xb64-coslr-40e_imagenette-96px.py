"""MixMAE with a micro Swin of mmpretrain, shifted windows and all, on Imagenette at 96 px, on a CPU.

    python tools/train.py configs/mixmae/mixmae_swin-micro_1xb64-coslr-40e_imagenette-96px.py

Its weights load into the Swin transformers of mmpretrain, mmdet and mmseg. Untuned.
"""

_base_ = './mixmae_mixmim-swin-micro_1xb64-coslr-40e_imagenette-96px.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmpretrain.SwinTransformer',
        arch=dict(embed_dims=32, depths=[2, 2, 2], num_heads=[1, 2, 4]),
        img_size=_base_.image_size,
        window_size=6,
        pad_small_map=True,
        drop_path_rate=0.0,
        out_indices=(2,),
    )
)
