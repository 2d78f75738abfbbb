"""MixMAE with a micro PVT of mmdet on Imagenette at 96 px, on a CPU.

    python tools/train.py configs/mixmae/mixmae_pvt-micro_1xb64-coslr-40e_imagenette-96px.py

Each key of its three stages covers a square of 4, 2 or 1 tokens a side, which is one cell of 16 px. Untuned.
"""

_base_ = ['./mixmae_mixmim-swin-micro_1xb64-coslr-40e_imagenette-96px.py', '../_base_/models/stock_micro.py']

model = dict(backbone=dict(_base_.stock_micro.pvt, _delete_=True, drop_path_rate=0.0, out_indices=(2,)))
