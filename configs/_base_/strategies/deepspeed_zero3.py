"""As ZeRO-2, and the weights are sharded too: see docs/scaling.md.

    _base_ = ['./some_pretraining.py', '../_base_/strategies/deepspeed_zero3.py']
"""

_base_ = './deepspeed_zero2.py'

strategy = dict(zero_optimization=dict(stage=3))
