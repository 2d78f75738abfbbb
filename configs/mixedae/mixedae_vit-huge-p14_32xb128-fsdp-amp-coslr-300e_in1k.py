"""MixedAE, huge encoder, sharded across the GPUs by PyTorch's FSDP.

    tools/dist_train.sh configs/mixedae/mixedae_vit-huge-p14_32xb128-fsdp-amp-coslr-300e_in1k.py 8 --auto-scale-lr

Untuned, and not run on GPUs; see docs/scaling.md.
"""

_base_ = ['./mixedae_vit-huge-p14_32xb128-amp-coslr-300e_in1k.py', '../_base_/strategies/fsdp.py']
