"""A run on the console, without a terminal: each step is shown where the clock allows it."""

import io
import logging
import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.config import Config
from training_toys import run_until, toy_config

from mixmae_mm.engine.hooks import console as module
from mixmae_mm.engine.hooks.console import ConsoleHook, follow, precision_of, scalars
from mixmae_mm.utils import console as utils
from mixmae_mm.utils.console import Console


@pytest.fixture
def stream(monkeypatch):
    """What a console that has been taken shows, of every step."""
    shown = io.StringIO()
    monkeypatch.setattr(Console, 'current', Console(shown, logging.NullHandler()))
    monkeypatch.setattr(utils, 'REPEAT', 0)
    return shown


@pytest.fixture
def followed(monkeypatch):
    """Each runner is followed."""
    register = module.Runner.register_default_hooks

    def register_and_follow(runner, hooks=None):
        register(runner, hooks)
        follow(runner)

    monkeypatch.setattr(module.Runner, 'register_default_hooks', register_and_follow)


@pytest.mark.parametrize('by_epoch', [True, False])
@pytest.mark.usefixtures('followed')
def test_each_step_is_shown_and_then_the_checkpoint(tmp_path, stream, by_epoch):
    runner = run_until(toy_config(tmp_path, by_epoch=by_epoch))
    lines = stream.getvalue().splitlines()
    assert lines[1] == f'work_dir  {tmp_path}'
    assert tmp_path.joinpath(lines[2].removeprefix('log file  ')).is_file()
    length = '4 epoch(s) of 6 iterations' if by_epoch else '24 iterations'
    assert lines[3] == f'training  24 images, {length}, on cpu in float32'
    places = [f'epoch {1 + i // 6}/4 [{1 + i % 6}/6]' if by_epoch else f'iteration {i + 1}/24' for i in range(24)]
    assert [line.split('  ')[0] for line in lines[4:-1]] == places
    losses = runner.message_hub.get_scalar('train/loss')
    assert f'  loss {np.mean(losses.data[0][14:24]):.4f}  lr 4.28e-05  eta 0:00:00' in lines[-2]
    assert lines[-1] == f'checkpoint: {tmp_path / ("epoch_4.pth" if by_epoch else "iter_24.pth")}'


@pytest.mark.parametrize('by_epoch', [True, False])
@pytest.mark.usefixtures('followed')
def test_a_resumed_run_that_has_ended_says_so(tmp_path, stream, by_epoch):
    for resume in (False, True):
        assert 'nothing is left' not in stream.getvalue()
        run_until(toy_config(tmp_path, by_epoch=by_epoch), resume=resume)
    assert '\nnothing is left to train: all 24 iterations were done before. ' in stream.getvalue()


def test_a_runner_of_ones_own_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(Console, 'current', None)
    runner = SimpleNamespace(rank=0)
    follow(runner)
    monkeypatch.setattr(Console, 'current', Console(io.StringIO(), logging.NullHandler()))
    runner.rank = 1
    follow(runner)
    assert Console.current.stream.getvalue() == ''
    assert vars(runner) == dict(rank=1)


def test_validation_and_test_are_shown_with_their_metrics(stream):
    hook, loader = ConsoleHook(Console.current), [None] * 3
    runner = SimpleNamespace(val_dataloader=loader, test_dataloader=loader, train_loop=None, iter=12)
    for batch in range(3):
        hook.after_val_iter(runner, batch)
    hook.after_val_epoch(runner, {'accuracy/top1': 12.34567, 'per_class': [1, 2], 'name': 'x'})
    for batch in range(3):
        hook.after_test_iter(runner, batch)
    hook.after_test_epoch(runner, dict(mIoU=torch.tensor(3.0), table=np.ones(2)))
    assert stream.getvalue().splitlines() == [
        *(f'validation [{number}/3]' for number in (1, 2, 3)),
        'validation after iteration 12: accuracy/top1 12.35',
        *(f'test [{number}/3]' for number in (1, 2, 3)),
        'test: mIoU 3',
    ]
    assert scalars({}) == scalars(None) == 'no metrics'


@pytest.mark.parametrize(
    ('wrapper', 'precision'),
    [
        (dict(type='OptimWrapper', dtype='float16'), 'float32'),
        (dict(type='AmpOptimWrapper', dtype='float16'), 'float16'),
        (dict(type='mixmae_mm.CpuAmpOptimWrapper'), 'bfloat16'),
    ],
)
def test_the_precision_is_that_of_the_optimizer_wrapper(wrapper, precision):
    assert precision_of(SimpleNamespace(cfg=Config(dict(optim_wrapper=wrapper)))) == precision
    assert re.fullmatch('b?float(16|32)', precision)
