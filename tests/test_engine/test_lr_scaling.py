"""The learning rate for the batch of a job: in the optimizer, in its schedule, and in the log."""

import json
import re
import uuid

import pytest
from micro_training import ROOT
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS
from mmengine.runner import FlexibleRunner, Runner
from test_configs import read
from torch import nn
from training_toys import ToyModel, toy_config

from mixmae_mm.engine.strategies import fit_strategy, scale_rate

CONFIGS = sorted(path for path in ROOT.glob('configs/*/*.py') if path.parent.name != '_base_')
RATE, BASE = 0.012, 64
CONSTRUCTORS = {
    'none': (dict(), [1]),
    'head decayed': (
        dict(constructor='mixmae_mm.LayerDecayOptimWrapperConstructor', paramwise_cfg=dict(layer_decay_rate=0.5)),
        [0.5, 0.25],
    ),
    'head at full rate': (
        dict(
            constructor='mixmae_mm.LayerDecayOptimWrapperConstructor',
            paramwise_cfg=dict(layer_decay_rate=0.5, head_decay=False),
        ),
        [1, 0.5, 0.25],
    ),
    "mmpretrain's": (
        dict(
            constructor='mmpretrain.LearningRateDecayOptimWrapperConstructor', paramwise_cfg=dict(layer_decay_rate=0.5)
        ),
        [1, 0.5, 0.25],
    ),
    "mmengine's": (dict(paramwise_cfg=dict(custom_keys={'backbone': dict(lr_mult=0.1)})), [1, 0.1]),
}


@MODELS.register_module(force=True)
class LayeredModel(ToyModel):
    """A backbone of two depths, a weight and a bias, below a third for the head."""

    def __init__(self):
        super().__init__()
        self.backbone = nn.Linear(8, 8)
        self.backbone.get_layer_depth = self.get_layer_depth

    def get_layer_depth(self, name, prefix=''):
        return ('backbone.weight', 'backbone.bias', name).index(name), 3

    def forward(self, inputs, mode='tensor', **kwargs):
        return super().forward(self.backbone(inputs), mode, **kwargs)


def job_config(folder, processes=1, images=4, accumulated=1, scale=True, **wrapper):
    """A config of six iterations, its rate scaled for so many processes of which only one is started here."""
    wrapper = dict(optimizer=dict(type='AdamW', lr=RATE, weight_decay=0.05), accumulative_counts=accumulated) | wrapper
    config = toy_config(folder, model=dict(type='LayeredModel'), optim_wrapper=wrapper)
    config.train_dataloader.batch_size = images
    config.train_cfg = dict(by_epoch=False, max_iters=6)
    config.train_dataloader.sampler.type = 'mixmae_mm.SeededInfiniteSampler'
    config.param_scheduler = dict(type='MultiStepLR', milestones=[2, 4], gamma=0.1, by_epoch=False)
    config.default_hooks.runtime_info = dict(type='mixmae_mm.BaseRateHook')
    config.default_hooks.checkpoint = dict(type='CheckpointHook', interval=100)
    config.auto_scale_lr, config.env_cfg = dict(base_batch_size=BASE, enable=scale), {}
    config.launcher = 'none' if processes == 1 else 'pytorch'
    if scale:
        scale_rate(config)
    config.launcher = 'none'
    return config


def trained(config, kind=Runner):
    config.experiment_name = uuid.uuid4().hex
    runner = kind.from_cfg(config)
    runner.train()
    return runner


def check_rates(runner, rate, scales):
    """Compare what the optimizer and its schedule began with, and what was logged, with the base rate."""
    groups = runner.optim_wrapper.optimizer.param_groups
    assert sorted({round(group['initial_lr'], 9) for group in groups}, reverse=True) == pytest.approx(
        [rate * scale for scale in scales]
    )
    for group in groups:
        assert group['lr'] == pytest.approx(group['initial_lr'] * 0.01)
    (schedule,) = runner.param_schedulers
    assert schedule.base_values[: len(groups)] == [group['initial_lr'] for group in groups]
    for name in ('lr', 'base_lr') if len(groups) > 1 else ('lr',):
        logged = runner.message_hub.get_scalar(f'train/{name}').data[0]
        assert logged == pytest.approx([rate, rate, rate * 0.1, rate * 0.1, rate * 0.01, rate * 0.01])


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in ('RANK', 'LOCAL_RANK', 'WORLD_SIZE'):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.mark.parametrize(
    ('job', 'factor'),
    [
        (dict(images=4), 4 / 64),
        (dict(images=4, accumulated=4), 16 / 64),
        (dict(images=4, accumulated=16), 1),
        (dict(images=4, accumulated=2, processes=2), 16 / 64),
        (dict(images=2, accumulated=8, processes=4), 1),
    ],
)
@pytest.mark.parametrize('kind', [Runner, FlexibleRunner])
def test_the_rate_is_that_of_all_images_of_an_update(tmp_path, environment, job, factor, kind):
    environment.setenv('WORLD_SIZE', str(job.get('processes', 1)))
    wrapper, scales = CONSTRUCTORS['head decayed']
    config = job_config(tmp_path, **job, **wrapper)
    check_rates(trained(config, kind), RATE * factor, scales)


@pytest.mark.parametrize('constructor', CONSTRUCTORS)
def test_what_is_logged_is_the_base_rate(tmp_path, constructor):
    if 'mmpretrain' in constructor:
        pytest.importorskip('mmpretrain', reason='named in configs, not needed by the package')
    wrapper, scales = CONSTRUCTORS[constructor]
    check_rates(trained(job_config(tmp_path / 'as it is', scale=False, **wrapper)), RATE, scales)
    check_rates(trained(job_config(tmp_path / 'scaled', **wrapper)), RATE / 16, scales)


def test_the_batch_may_be_that_of_a_batch_sampler(tmp_path):
    config = job_config(tmp_path, scale=False)
    config.train_dataloader.batch_sampler = dict(type='torch.utils.data.BatchSampler', batch_size=8, drop_last=True)
    scale_rate(config)
    assert config.optim_wrapper.optimizer.lr == pytest.approx(RATE * 8 / 64)


def test_a_config_that_was_written_out_is_scaled_from_its_own_batch(tmp_path, capsys):
    config = job_config(tmp_path, accumulated=4)
    assert config.auto_scale_lr == dict(base_batch_size=16, enable=False)
    assert 'from 64' not in capsys.readouterr().out
    config.train_dataloader.batch_size = 8
    scale_rate(config)
    assert config.optim_wrapper.optimizer.lr == pytest.approx(RATE * 32 / 64)
    told = capsys.readouterr().out
    assert {'1', '8', '4', '16', '32', '2', '0.006'} <= set(re.findall(r'[\d.]*\d', told))


@pytest.mark.parametrize('base', [None, 0, -64, '64', 64.0])
def test_a_rate_without_its_batch_is_refused(tmp_path, base):
    config = job_config(tmp_path, scale=False)
    config.auto_scale_lr.base_batch_size = base
    with pytest.raises(ValueError, match=rf'add auto_scale_lr=dict\(base_batch_size=...\) .* has {base}'):
        scale_rate(config)
    assert config.optim_wrapper.optimizer.lr == RATE


@pytest.mark.parametrize('wrapper', [dict(optimizer=dict(type='AdamW')), dict(one=dict(), two=dict(), optimizer=None)])
def test_a_config_without_a_rate_is_refused(tmp_path, wrapper):
    config = job_config(tmp_path, scale=False)
    config.optim_wrapper = wrapper
    with pytest.raises(ValueError, match=r'needs a learning rate to scale, got optim_wrapper.optimizer.lr=None: set'):
        scale_rate(config)


OF_DEEPSPEED = {
    'wrapper': (dict(accumulative_counts=4), dict()),
    'strategy': (dict(), dict(gradient_accumulation_steps=4)),
    'config': (dict(), dict(config=dict(gradient_accumulation_steps=4))),
    'file': (dict(), dict(config='ds.json')),
    'both': (dict(accumulative_counts=4), dict(gradient_accumulation_steps=4)),
}


def deepspeed_config(folder, wrapper, strategy):
    (folder / 'ds.json').write_text(json.dumps(dict(gradient_accumulation_steps=4)))
    if strategy.get('config') == 'ds.json':
        strategy = dict(config=str(folder / 'ds.json'))
    halves, scales = CONSTRUCTORS['head decayed']
    config = job_config(folder, scale=False, type='AmpOptimWrapper', dtype='bfloat16', **halves)
    config.optim_wrapper.pop('accumulative_counts')
    config.optim_wrapper.update(wrapper, loss_scale=dict(enabled=False))
    config.strategy, config.launcher = dict(type='DeepSpeedStrategy', **strategy), 'pytorch'
    return config, scales


@pytest.mark.parametrize('way', OF_DEEPSPEED)
def test_under_deepspeed_the_rate_is_the_same(tmp_path, environment, way):
    environment.setenv('WORLD_SIZE', '2')
    config, scales = deepspeed_config(tmp_path, *OF_DEEPSPEED[way])
    scale_rate(config)
    fit_strategy(config)
    told = config.strategy.get('gradient_accumulation_steps') or config.strategy.config['gradient_accumulation_steps']
    assert told == 4
    wrapper = build_optim_wrapper(MODELS.build(dict(type='LayeredModel')), config.optim_wrapper)
    rates = sorted({group['lr'] for group in wrapper.optimizer.param_groups}, reverse=True)
    assert rates == pytest.approx([RATE * 2 * 4 * 4 / 64 * scale for scale in scales])
    assert wrapper.get_lr()['base_lr'] == pytest.approx([RATE * 2 * 4 * 4 / 64])


def test_two_numbers_of_accumulated_iterations_are_refused(tmp_path, environment):
    environment.setenv('WORLD_SIZE', '2')
    config, _ = deepspeed_config(tmp_path, dict(accumulative_counts=4), dict(gradient_accumulation_steps=2))
    for refuse in (scale_rate, fit_strategy):
        with pytest.raises(ValueError, match=r'accumulative_counts=4 and strategy.\w+=2: set one of them'):
            refuse(config)


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_for_the_job_that_its_name_gives_a_config_has_the_rate_already(path, environment):
    processes = re.search(r'_(\d+)xb\d+', path.name)[1]
    environment.setenv('WORLD_SIZE', processes)
    config = read(path)
    config.launcher = 'pytorch'
    rate, base = config.optim_wrapper.optimizer.lr, config.auto_scale_lr.base_batch_size
    scale_rate(config)
    assert config.optim_wrapper.optimizer.lr == rate
    assert config.auto_scale_lr == dict(base_batch_size=base, enable=False)
