"""Gradients and optimizer sharded among the processes by DeepSpeed (`pip install deepspeed`): see docs/scaling.md.

    _base_ = ['./some_pretraining.py', '../_base_/strategies/deepspeed_zero2.py']

tools/train.py makes the config's optimizer wrapper DeepSpeed's. Checkpoints are folders, which zero_to_fp32.py in them
turns into weights.
"""

runner_type = 'FlexibleRunner'
strategy = dict(
    type='DeepSpeedStrategy',
    config=dict(zero_allow_untested_optimizer=True, zero_force_ds_cpu_optimizer=False),
    zero_optimization=dict(stage=2, overlap_comm=True, contiguous_gradients=True),
)
