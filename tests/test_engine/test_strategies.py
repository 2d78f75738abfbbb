"""Configs fitted to the strategy that they name."""

import json

import pytest
import torch
from micro_training import ROOT
from mmengine.config import Config
from torch import nn

from mixmae_mm.engine.strategies import find_strategy, fit_strategy, leave_strategy, wrap_blocks
from mixmae_mm.models.utils.layers import Block
from mixmae_mm.models.utils.swin_layers import SwinBlock
from mixmae_mm.utils.errors import check_checkpoint

AMP = dict(type='AmpOptimWrapper', dtype='bfloat16', optimizer=dict(type='AdamW', lr=1e-3))


def fit(strategy='DeepSpeedStrategy', launcher='pytorch', wrapper=AMP, **others):
    config = Config(dict(launcher=launcher, strategy=dict(type=strategy), optim_wrapper=wrapper, **others))
    fit_strategy(config)
    return config


def test_without_a_strategy_nothing_changes():
    config = Config(dict(launcher='none', optim_wrapper=dict(AMP)))
    fit_strategy(config)
    assert config.optim_wrapper.to_dict() == AMP


@pytest.mark.parametrize('strategy', ['mixmae_mm.ShardingStrategy', 'DeepSpeedStrategy'])
def test_a_strategy_without_a_launcher_is_refused(strategy):
    name = strategy.rpartition('.')[-1]
    with pytest.raises(ValueError, match=rf'{name} needs a launcher, even for one process: tools/dist_train.sh'):
        fit(strategy, 'none')


def test_deepspeed_gets_what_the_wrapper_asks_for():
    constructor = dict(
        constructor='mixmae_mm.LayerDecayOptimWrapperConstructor', paramwise_cfg=dict(layer_decay_rate=0.7)
    )
    config = fit(wrapper=dict(AMP, **constructor, clip_grad=dict(max_norm=5.0), accumulative_counts=4))
    assert config.optim_wrapper.to_dict() == dict(
        type='DeepSpeedOptimWrapper', optimizer=AMP['optimizer'], **constructor
    )
    assert config.strategy.config.to_dict() == dict(
        torch_autocast=dict(enabled=True, dtype='bfloat16'), gradient_clipping=5.0, gradient_accumulation_steps=4
    )


@pytest.mark.parametrize('scope', ['', 'mmengine.'])
def test_deepspeed_in_single_precision(scope):
    config = fit(f'{scope}DeepSpeedStrategy', wrapper=dict(type=f'{scope}OptimWrapper', optimizer=AMP['optimizer']))
    assert config.strategy.to_dict() == dict(type='DeepSpeedStrategy', config={})


@pytest.mark.parametrize('as_file', [False, True])
def test_what_deepspeed_was_given_already_stays(tmp_path, as_file):
    told = dict(gradient_accumulation_steps=4, steps=7)
    if as_file:
        (tmp_path / 'ds.json').write_text(json.dumps(told))
    strategy = dict(type='DeepSpeedStrategy', config=str(tmp_path / 'ds.json') if as_file else told)
    config = Config(dict(launcher='pytorch', strategy=strategy, optim_wrapper=AMP))
    fit_strategy(config)
    assert config.strategy.config.to_dict() == told | dict(torch_autocast=dict(enabled=True, dtype='bfloat16'))


@pytest.mark.parametrize('strategy', ['mixmae_mm.ShardingStrategy', 'DeepSpeedStrategy'])
@pytest.mark.parametrize('hook', ['EMAHook', 'mixmae_mm.CompileBackboneHook'])
def test_hooks_that_need_the_whole_model_are_refused(strategy, hook):
    for hooks in (dict(custom_hooks=[dict(type=hook)]), dict(default_hooks=dict(one=dict(type=hook)))):
        with pytest.raises(ValueError, match=rf'{hook.split(".")[-1]} .*: leave the hook or the strategy'):
            fit(strategy, **hooks)


def test_tests_go_without_the_strategy():
    config = Config.fromfile(ROOT / 'configs/_base_/strategies/fsdp.py')
    leave_strategy(config)
    assert 'runner_type' not in config
    assert find_strategy(config) is None


@pytest.mark.parametrize('clip', [dict(max_norm=1.0, type='norm'), dict(max_norm=1.0, norm_type=2)])
def test_the_2_norm_is_what_deepspeed_clips_by(clip):
    assert fit(wrapper=dict(AMP, clip_grad=clip)).strategy.config.gradient_clipping == 1.0


@pytest.mark.parametrize(
    ('wrapper', 'message'),
    [
        (dict(AMP, type='ApexOptimWrapper'), r'cannot stand in for the optimizer wrapper ApexOptimWrapper'),
        (dict(AMP, use_fsdp=True), r"AmpOptimWrapper with \['use_fsdp'\]"),
        (dict(AMP, loss_scale=512.0), r"AmpOptimWrapper with \['loss_scale'\]"),
        (dict(AMP, clip_grad=dict(clip_value=1.0)), r"by their 2-norm alone .*, got .*'clip_value': 1.0"),
        (dict(AMP, clip_grad=dict(max_norm=1.0, norm_type=1)), r'by their 2-norm alone'),
    ],
)
def test_what_deepspeed_has_nothing_for_is_refused(wrapper, message):
    with pytest.raises(ValueError, match=message):
        fit(wrapper=wrapper)


def test_blocks_are_gathered_alone():
    blocks = Block(8, 2, mlp_ratio=2.0, drop_path=0.0), SwinBlock(8, 2, (4, 4), 2.0, 0.0)
    assert all(wrap_blocks(block, recurse=False, nonwrapped_numel=0) for block in blocks)
    assert not wrap_blocks(nn.Linear(8, 8), recurse=False, nonwrapped_numel=10**9)
    assert wrap_blocks(nn.Linear(8, 8), recurse=True, nonwrapped_numel=0)


def test_a_folder_is_a_checkpoint_of_deepspeed_only(tmp_path):
    with pytest.raises(ValueError, match=r'is not a checkpoint of DeepSpeed, which is a folder'):
        check_checkpoint(str(tmp_path), in_folder=True)
    torch.save({}, tmp_path / 'mp_rank_00_model_states.pt')
    check_checkpoint(str(tmp_path), in_folder=True)
    with pytest.raises(ValueError, match=r"is a folder: DeepSpeed's checkpoints are resumed with its strategy only"):
        check_checkpoint(str(tmp_path))


@pytest.mark.parametrize('name', ['fsdp', 'deepspeed_zero2', 'deepspeed_zero3'])
def test_settings_are_there_for_each(name):
    config = Config.fromfile(ROOT / f'configs/_base_/strategies/{name}.py')
    assert config.runner_type == 'FlexibleRunner'
    assert config.strategy.type == ('mixmae_mm.ShardingStrategy' if name == 'fsdp' else 'DeepSpeedStrategy')
