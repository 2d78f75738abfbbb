"""MixMAE with a micro Twins-SVT of mmseg on Imagenette at 96 px, on a CPU.

    python tools/train.py configs/mixmae/mixmae_twins-svt-micro_1xb64-coslr-40e_imagenette-96px.py

Its position encoding is a convolution over neighboring tokens, computed separately for each source. Untuned.
"""

_base_ = ['./mixmae_mixmim-swin-micro_1xb64-coslr-40e_imagenette-96px.py', '../_base_/models/stock_micro.py']

model = dict(backbone=dict(_base_.stock_micro.twins_svt, _delete_=True, drop_path_rate=0.0, out_indices=(2,)))
