"""The huge encoder, sharded among the GPUs by DeepSpeed's ZeRO-3.

    tools/dist_train.sh configs/mixmae/mixmae_mixmim-swin-huge-w14_16xb128-zero3-amp-coslr-600e_in1k.py 8 --auto-scale-lr

Untuned, and not run on GPUs; see docs/scaling.md.
"""

_base_ = ['./mixmae_mixmim-swin-huge-w14_16xb128-amp-coslr-600e_in1k.py', '../_base_/strategies/deepspeed_zero3.py']
