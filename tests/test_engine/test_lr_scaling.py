"""The learning rate for the batch of a job: in the optimizer, in its schedule, and in the log."""

import uuid

import pytest
from mmengine.registry import MODELS
from mmengine.runner import FlexibleRunner, Runner
from torch import nn
from training_toys import ToyModel, toy_config

from mixmae_mm.engine.strategies import scale_rate

RATE, BASE = 0.012, 64
OURS = 'mixmae_mm.LayerDecayOptimWrapperConstructor'
CONSTRUCTORS = {
    'none': (dict(), [1]),
    'head decayed': (dict(constructor=OURS, paramwise_cfg=dict(layer_decay_rate=0.5)), [0.5, 0.25]),
    "mmengine's": (dict(paramwise_cfg=dict(custom_keys={'backbone': dict(lr_mult=0.1)})), [1, 0.1]),
}


@MODELS.register_module(force=True)
class LayeredModel(ToyModel):
    """A backbone whose weight and bias have two depths, below a third depth for the head."""

    def __init__(self):
        super().__init__()
        self.backbone = nn.Linear(8, 8)
        self.backbone.get_layer_depth = self.get_layer_depth

    def get_layer_depth(self, name, prefix=''):
        return ('backbone.weight', 'backbone.bias', name).index(name), 3

    def forward(self, inputs, mode='tensor', **kwargs):
        return super().forward(self.backbone(inputs), mode, **kwargs)


def job_config(folder, processes=1, images=4, accumulated=1, scale=True, **wrapper):
    """Return a config of six iterations, its rate scaled for several processes, of which tests start one."""
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


def check_rates(config, rate, scales, kind=Runner):
    """Train, and compare the initial rates of optimizer and schedule, and the logged rates, with the base rate."""
    config.experiment_name = uuid.uuid4().hex
    runner = kind.from_cfg(config)
    runner.train()
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


@pytest.mark.parametrize(
    ('job', 'factor'),
    [
        (dict(images=4, accumulated=4), 16 / 64),
        (dict(images=4, accumulated=2, processes=2), 16 / 64),
        (dict(images=2, accumulated=8, processes=4), 1),
    ],
)
@pytest.mark.parametrize('kind', [Runner, FlexibleRunner])
def test_the_rate_is_that_of_all_images_of_an_update(tmp_path, monkeypatch, job, factor, kind):
    monkeypatch.setenv('WORLD_SIZE', str(job.get('processes', 1)))
    wrapper, scales = CONSTRUCTORS['head decayed']
    config = job_config(tmp_path, **job, **wrapper)
    monkeypatch.delenv('WORLD_SIZE')
    check_rates(config, RATE * factor, scales, kind)


@pytest.mark.parametrize('constructor', CONSTRUCTORS)
def test_what_is_logged_is_the_base_rate(tmp_path, constructor):
    wrapper, scales = CONSTRUCTORS[constructor]
    check_rates(job_config(tmp_path, **wrapper), RATE / 16, scales)


def test_a_config_that_was_written_out_is_scaled_from_its_own_batch(tmp_path):
    """The batch can be that of a batch sampler."""
    config = job_config(tmp_path, accumulated=4)
    assert config.auto_scale_lr == dict(base_batch_size=16, enable=False)
    config.train_dataloader.batch_sampler = dict(type='torch.utils.data.BatchSampler', batch_size=8, drop_last=True)
    scale_rate(config)
    assert config.optim_wrapper.optimizer.lr == pytest.approx(RATE * 32 / 64)


@pytest.mark.parametrize(
    ('base', 'wrapper', 'said'),
    [
        (None, None, r'add auto_scale_lr=dict\(base_batch_size=...\) .* has None, and .* is 0.012'),
        (BASE, dict(one=dict(), two=dict()), 'has 64, and .* is None'),
    ],
)
def test_a_config_without_its_batch_or_rate_is_refused(tmp_path, base, wrapper, said):
    config = job_config(tmp_path, scale=False)
    config.auto_scale_lr.base_batch_size = base
    config.optim_wrapper = wrapper or config.optim_wrapper
    with pytest.raises(ValueError, match=said):
        scale_rate(config)
