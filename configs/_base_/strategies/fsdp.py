"""Weights, gradients and optimizer sharded across processes by PyTorch's FSDP, block by block (docs/scaling.md).

    _base_ = ['./some_pretraining.py', '../_base_/strategies/fsdp.py']
"""

runner_type = 'FlexibleRunner'
strategy = dict(
    type='mixmae_mm.ShardingStrategy',
    model_wrapper=dict(auto_wrap_policy='mixmae_mm.wrap_blocks'),
    state_dict_cfg='full',  # one file, as without sharding
)
