"""Configs fitted to the strategy that they name."""

import pytest
from micro_training import ROOT
from mmengine.config import Config
from torch import nn

from mixmae_mm.engine.strategies import fit_strategy, wrap_blocks
from mixmae_mm.models.utils.layers import Block
from mixmae_mm.models.utils.swin_layers import SwinStage

SHARDING = Config.fromfile(ROOT / 'configs/_base_/strategies/fsdp.py').strategy.type


def fit(strategy=SHARDING, launcher='pytorch', **others):
    wrapper = dict(type='mmengine.AmpOptimWrapper', dtype='bfloat16')
    config = Config(dict(launcher=launcher, strategy=dict(type=strategy), optim_wrapper=wrapper, **others))
    fit_strategy(config)
    return config


def test_the_wrapper_is_named_as_mmengine_compares_it():
    """Which shards a scaler for it by that name alone; without a strategy nothing changes."""
    assert fit().optim_wrapper.type == 'AmpOptimWrapper'
    config = Config(dict(launcher='none', optim_wrapper=dict(type='mmengine.OptimWrapper')))
    fit_strategy(config)
    assert config.optim_wrapper.type == 'mmengine.OptimWrapper'


@pytest.mark.parametrize(
    ('settings', 'said'),
    [
        (dict(strategy='mmengine.DeepSpeedStrategy'), 'not supported.* FSDP: ../_base_/strategies/fsdp.py'),
        (dict(launcher='none'), 'ShardingStrategy needs a launcher, even for one process: tools/dist_train.'),
        (dict(custom_hooks=[dict(type='EMAHook')]), 'EMAHook .*: leave the hook or the strategy'),
        (
            dict(default_hooks=dict(one=dict(type='mixmae_mm.CompileBackboneHook'), two=None)),
            'CompileBackboneHook .*: leave the hook or the strategy',
        ),
    ],
)
def test_what_cannot_be_sharded_is_refused(settings, said):
    with pytest.raises(ValueError, match=said):
        fit(**settings)


def test_blocks_are_gathered_alone():
    blocks = Block(8, 2, mlp_ratio=2.0, drop_path=0.0), SwinStage(8, 2, [(4, 4)], [0.0], 2.0, False, False).blocks[0]
    assert all(wrap_blocks(block, recurse=False, nonwrapped_numel=0) for block in blocks)
    assert not wrap_blocks(nn.Linear(8, 8), recurse=False, nonwrapped_numel=10**9)
    assert wrap_blocks(nn.Linear(8, 8), recurse=True, nonwrapped_numel=0)
