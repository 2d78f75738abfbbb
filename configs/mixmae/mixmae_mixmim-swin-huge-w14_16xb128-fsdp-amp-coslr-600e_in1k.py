"""MixMAE, huge encoder, sharded across the GPUs by PyTorch's FSDP.

    tools/dist_train.sh configs/mixmae/mixmae_mixmim-swin-huge-w14_16xb128-fsdp-amp-coslr-600e_in1k.py 8 --auto-scale-lr

Untuned, and not run on GPUs; see docs/scaling.md.
"""

_base_ = ['./mixmae_mixmim-swin-huge-w14_16xb128-amp-coslr-600e_in1k.py', '../_base_/strategies/fsdp.py']
