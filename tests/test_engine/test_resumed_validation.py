"""A resumed run continues validation: hooks keep their counts, and a missed validation is made up for."""

import os
import signal
from types import SimpleNamespace

import pytest
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.registry import HOOKS, METRICS
from mmengine.runner import FlexibleRunner, Runner
from torch.utils.data import DataLoader, IterableDataset
from training_pair import start_two
from training_toys import last_checkpoint, run_until, same, toy_config, trained_alike

from mixmae_mm.engine.hooks import NanGuardHook, PreemptionHook
from mixmae_mm.engine.hooks.preemption import LATEST, PREEMPTED, Preempted

OFTEN = dict(type='mixmae_mm.AtomicCheckpointHook', by_epoch=False, interval=1)
SCORES = [1.0, 5.0, 3.0, 2.0, 4.0, 4.5, 6.0]
"""Scores by number of validations; the second stays the best until the seventh."""


@METRICS.register_module()
class ToyScore(BaseMetric):
    """Report a fixed score for each step of the run, and record the validated steps."""

    seen = []

    def process(self, data_batch, data_samples):
        self.results.append(0)

    def compute_metrics(self, results):
        step = StepHook.step
        self.seen.append(step)
        return dict(accuracy=SCORES[step - 1])


@HOOKS.register_module()
class StepHook(Hook):
    """Give the metric the step of the run, and end the run during the validation `ends_in`."""

    step = 0

    def __init__(self, length=1, ends_in=None):
        self.length, self.ends_in = length, ends_in

    def before_val(self, runner):
        StepHook.step = runner.epoch if self.length == 1 else runner.iter // self.length
        if StepHook.step == self.ends_in:
            raise RuntimeError('ended in a validation')


@HOOKS.register_module()
class AskInValidationHook(Hook):
    """Send this process SIGTERM in the first batch of the second validation, and count all validation batches."""

    batches = 0

    def before_val_iter(self, runner, batch_idx, data_batch=None):
        AskInValidationHook.batches += 1
        if AskInValidationHook.batches == len(runner.val_dataloader) + 1:
            os.kill(os.getpid(), signal.SIGTERM)


def config_of(folder, by_epoch, ends_in=None, patience=3, steps=6):
    """Return a config of six epochs, or of validations every 4 iterations, with early stopping after `patience`."""
    length = 1 if by_epoch else 4
    loop = dict(by_epoch=True, max_epochs=steps) if by_epoch else dict(by_epoch=False, max_iters=4 * steps)
    config = toy_config(folder, by_epoch, train_cfg=loop | dict(val_interval=length))
    config.default_hooks.checkpoint = dict(
        type='mixmae_mm.AtomicCheckpointHook', by_epoch=by_epoch, interval=length, save_best='accuracy', rule='greater'
    )
    config.default_hooks.preemption = dict(type='mixmae_mm.PreemptionHook')
    config.custom_hooks = [
        dict(type='StepHook', length=length, ends_in=ends_in),
        dict(type='EarlyStoppingHook', monitor='accuracy', rule='greater', min_delta=0.1, patience=patience),
    ]
    images = dict(type='ToyImages', pipeline=[dict(type='ToyAugment')])
    config.val_dataloader = config.train_dataloader | dict(sampler=dict(type='DefaultSampler'), dataset=images)
    config.val_cfg, config.val_evaluator = dict(), dict(type='ToyScore')
    ToyScore.seen = []
    return config


def end_in_validation(config):
    with pytest.raises(RuntimeError, match='^ended in a validation$'):
        run_until(config)


@pytest.mark.parametrize('by_epoch', [True, False])
@pytest.mark.parametrize('ends_in', [2, 5])
def test_early_stopping_counts_on(tmp_path, by_epoch, ends_in):
    """The run ends during a validation, before its metrics are known and after the last checkpoint."""
    straight = run_until(config_of(tmp_path / 'straight', by_epoch))
    assert ToyScore.seen == [1, 2, 3, 4, 5]  # the three after the best one
    end_in_validation(config_of(tmp_path / 'ended', by_epoch, ends_in))
    resumed = run_until(config_of(tmp_path / 'ended', by_epoch), resume=True)
    assert ToyScore.seen == [step for step in (1, 2, 3, 4, 5) if step >= ends_in]
    assert resumed.iter == straight.iter
    ends = [last_checkpoint(tmp_path / name) for name in ('straight', 'ended')]
    assert set(trained_alike(*ends).values()) == {True}
    assert ends[0]['meta']['hooks'] == ends[1]['meta']['hooks'] == [dict(best_score=5.0, wait_count=2)]


@pytest.mark.parametrize('by_epoch', [True, False])
def test_a_signal_ends_a_validation_at_once(tmp_path, by_epoch):
    """The checkpoint holds the trained weights, though their averages are being validated; the score is not lost."""
    configs = [config_of(tmp_path / name, by_epoch, steps=3) for name in ('straight', 'stopped')]
    for config in configs:
        config.custom_hooks.append(dict(type='EMAHook', momentum=0.1))
        config.default_hooks.checkpoint.update(interval=100)  # none after the epoch
    run_until(configs[0])
    AskInValidationHook.batches = 0
    with pytest.raises(Preempted):
        run_until(configs[1], custom_hooks=[*configs[1].custom_hooks, dict(type='AskInValidationHook')])
    assert AskInValidationHook.batches == 7  # six of the first validation
    written = last_checkpoint(tmp_path / 'stopped')
    length = 6 if by_epoch else 4
    assert (written['meta']['iter'], written['meta']['epoch']) == (2 * length, 2 if by_epoch else 0)
    ToyScore.seen = []
    run_until(configs[1], resume=True)
    assert ToyScore.seen == [2, 3]
    ends = [last_checkpoint(config.work_dir) for config in configs]
    assert set(trained_alike(*ends).values()) == {True}
    assert same(*(dict(end['ema_state_dict']) for end in ends))


@pytest.mark.slow
def test_processes_leave_a_validation_together(tmp_path):
    """The second process has one batch less to validate, and gets the signal."""
    configs = [config_of(tmp_path, True, steps=2) for _ in range(2)]
    for config in configs:
        config.val_dataloader.update(batch_size=5, sampler=dict(type='DefaultSampler', round_up=False))
        config.val_dataloader.dataset.indices = 21  # 11 and 10: three batches and two
    configs[1].custom_hooks.append(dict(type='AskInValidationHook'))
    processes = start_two(__name__, *configs)
    for process in processes:
        process.join(100)
    assert [process.exitcode for process in processes] == [PREEMPTED, PREEMPTED]
    assert (tmp_path / LATEST).exists()


def test_a_validation_within_accumulated_gradients_is_not_left(tmp_path):
    """The second validation comes after 8 iterations, in the middle of the gradients of 6 to 10."""
    configs = [config_of(tmp_path / name, False, steps=3) for name in ('straight', 'stopped')]
    for config in configs:
        config.optim_wrapper.accumulative_counts = 5
        config.default_hooks.checkpoint.pop('save_best')
    run_until(configs[0])
    AskInValidationHook.batches = 0
    with pytest.raises(Preempted):
        run_until(configs[1], custom_hooks=[*configs[1].custom_hooks, dict(type='AskInValidationHook')])
    assert last_checkpoint(tmp_path / 'stopped')['meta']['iter'] == 10
    run_until(configs[1], resume=True)
    ends = [last_checkpoint(config.work_dir) for config in configs]
    assert set(trained_alike(*ends).values()) == {True}


@HOOKS.register_module()
class ValidateHook(Hook):
    """Validate where the loop does not: before training, in the eighth iteration, or after the second epoch."""

    def __init__(self, when):
        self.when = when

    def before_train(self, runner):
        if self.when == 'before_train':
            runner.val_loop.run()

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if self.when == 'after_train_iter' and runner.iter == 7:
            runner.val_loop.run()

    def after_train_epoch(self, runner):
        if self.when == 'after_train_epoch' and runner.epoch == 1:
            runner.val_loop.run()


@pytest.mark.parametrize(
    ('when', 'iteration'), [('before_train', 1), ('after_train_iter', 8), ('after_train_epoch', 13)]
)
def test_a_validation_of_a_hook_is_not_left(tmp_path, when, iteration):
    """The checkpoint is written once the loop has counted the next update."""
    config = config_of(tmp_path, True, steps=3)
    config.train_cfg.val_begin = 99
    config.default_hooks.checkpoint.pop('save_best')  # which mmengine prepares when training begins
    AskInValidationHook.batches = 6  # the first validation
    hooks = [*config.custom_hooks, dict(type='ValidateHook', when=when), dict(type='AskInValidationHook')]
    with pytest.raises(Preempted):
        run_until(config, custom_hooks=hooks)
    assert AskInValidationHook.batches == 12
    assert last_checkpoint(tmp_path)['meta']['iter'] == iteration


@pytest.mark.parametrize('settings', [dict(evaluate_on_origin=True), dict()])
def test_averages_of_mmpretrain(tmp_path, settings):
    """mmpretrain's hook may validate twice; then the signal is answered in the next iteration."""
    pytest.importorskip('mmpretrain.engine')
    configs = [config_of(tmp_path / name, True, steps=3) for name in ('straight', 'stopped')]
    for config in configs:
        config.custom_hooks.append(dict(type='mmpretrain.EMAHook', momentum=0.1, **settings))
    run_until(configs[0])
    AskInValidationHook.batches = 0
    with pytest.raises(Preempted):
        run_until(configs[1], custom_hooks=[*configs[1].custom_hooks, dict(type='AskInValidationHook')])
    assert last_checkpoint(tmp_path / 'stopped')['meta']['iter'] == (7 if settings else 12)
    run_until(configs[1], resume=True)
    ends = [last_checkpoint(config.work_dir) for config in configs]
    assert set(trained_alike(*ends).values()) == {True}
    assert same(*(dict(end['ema_state_dict']) for end in ends))


def test_processes_agree_in_no_stream(tmp_path):
    """Nobody knows how many batches a stream has."""

    class Stream(IterableDataset):
        def __iter__(self):
            yield from range(9)

    hook = PreemptionHook()
    hook.before_val(SimpleNamespace(val_loop=SimpleNamespace(dataloader=DataLoader(Stream()))))
    assert hook.val_batches == 0
    hook.before_val(SimpleNamespace(val_loop=SimpleNamespace(dataloaders=[])))
    assert hook.val_batches == 0


def test_checkpoints_after_a_validation_that_was_interrupted(tmp_path):
    """The program continues to train with the same runner."""
    config = config_of(tmp_path, True, steps=5, patience=9)
    config.train_cfg.val_interval = 3
    config.custom_hooks.append(dict(type='BreakHook'))
    runner = Runner.from_cfg(config)
    with pytest.raises(KeyboardInterrupt):
        runner.train()
    runner.train()
    assert {path.name for path in tmp_path.glob('epoch_*.pth')} == {f'epoch_{epoch}.pth' for epoch in range(1, 6)}


@HOOKS.register_module()
class BreakHook(Hook):
    """Ctrl-C in the first validation."""

    is_first = True

    def before_val_iter(self, runner, batch_idx, data_batch=None):
        if self.is_first:
            self.is_first = False
            raise KeyboardInterrupt


def test_a_run_that_is_over_is_not_trained_on(tmp_path):
    run_until(config_of(tmp_path, True))
    before = last_checkpoint(tmp_path)
    run_until(config_of(tmp_path, True), resume=True)
    assert ToyScore.seen == [5]
    assert last_checkpoint(tmp_path)['meta']['iter'] == before['meta']['iter'] == 30


@pytest.mark.parametrize('after', [15, 27])
def test_validation_has_its_turn_only(tmp_path, after):
    config = config_of(tmp_path, True, patience=9)
    config.train_cfg.update(val_interval=2, val_begin=4)
    run_until(config, interrupt_after=after)
    ToyScore.seen.clear()
    run_until(config, resume=True)
    # the fourth checkpoint knows its score, which was the best so far
    assert ToyScore.seen == ([4, 6] if after == 15 else [6])


def test_an_epoch_that_begins_anew_is_not_validated_before(tmp_path):
    """The epoch's length has changed, so its batches are seen again; the validation before it is not repeated."""
    config = config_of(tmp_path, True, patience=9)
    run_until(config, interrupt_after=20, default_hooks=config.default_hooks | dict(often=OFTEN))
    config.train_dataloader.batch_size = 3
    ToyScore.seen.clear()
    run_until(config, resume=True, default_hooks=config.default_hooks | dict(often=OFTEN))
    assert ToyScore.seen == [4, 5, 6]


def test_no_gradients_are_lost_by_a_best_score(tmp_path):
    """The second validation, the best, comes after 8 iterations, in the middle of the gradients of 6 to 10."""
    wrapper = dict(type='OptimWrapper', accumulative_counts=5, optimizer=dict(type='AdamW', lr=0.01))
    configs = [config_of(tmp_path / name, False, patience=9) for name in ('straight', 'ended')]
    for config in configs:
        config.optim_wrapper = wrapper
    run_until(configs[0])
    run_until(configs[1], interrupt_after=9)
    run_until(configs[1], resume=True)
    ends = [last_checkpoint(config.work_dir) for config in configs]
    assert set(trained_alike(*ends).values()) == {True}


@pytest.mark.parametrize('after', [15, 20])
def test_a_schedule_of_scores_resumes_alike(tmp_path, after):
    """The second score, the best, is in the second checkpoint, which is rewritten; the third lacks its own."""
    plateau = dict(type='ReduceOnPlateauLR', monitor='accuracy', rule='greater', patience=0)
    configs = [config_of(tmp_path / name, True, patience=9) for name in ('straight', 'ended')]
    for config in configs:
        config.param_scheduler = plateau
    run_until(configs[0])
    run_until(configs[1], interrupt_after=after)
    ToyScore.seen.clear()
    run_until(configs[1], resume=True)
    assert ToyScore.seen == [3, 4, 5, 6]
    ends = [last_checkpoint(config.work_dir) for config in configs]
    assert set(trained_alike(*ends).values()) == {True}


def test_with_a_strategy_no_epoch_is_left_out(tmp_path):
    """mmengine's FlexibleRunner counts an epoch twice if the checkpoint is written during a validation."""
    config = config_of(tmp_path, True, patience=9)
    config.env_cfg = dict(dist_cfg=dict(backend='gloo'))
    run_until(config, interrupt_after=15, kind=FlexibleRunner)
    assert [last_checkpoint(tmp_path)['meta'][name] for name in ('epoch', 'iter', 'validated')] == [2, 12, True]
    ToyScore.seen.clear()
    runner = run_until(config, kind=FlexibleRunner, resume=True)
    assert ToyScore.seen == [3, 4, 5, 6]
    assert (runner.epoch, runner.iter) == (6, 36)


def test_a_run_that_reached_its_score_stays_stopped(tmp_path):
    config = config_of(tmp_path, True)
    config.custom_hooks[1].stopping_threshold = 4.9
    run_until(config)
    assert ToyScore.seen == [1, 2]
    runner = run_until(config, resume=True)
    assert (ToyScore.seen, runner.iter) == ([1, 2], 12)


def test_other_hooks_count_anew(tmp_path):
    end_in_validation(config_of(tmp_path, True, ends_in=4))
    config = config_of(tmp_path, True)
    config.default_hooks.guard = dict(type='mixmae_mm.NanGuardHook')
    run_until(config, resume=True)
    assert ToyScore.seen == [4, 5, 6]  # 2.0 and 4.0 are not two more, but the first ones


@HOOKS.register_module()
class BadStepsHook(Hook):
    """Make the guard count two bad steps."""

    def after_train_iter(self, runner, *args, **others):
        next(hook for hook in runner.hooks if isinstance(hook, NanGuardHook)).events = 2


def test_bad_steps_are_counted_on(tmp_path):
    config = toy_config(tmp_path)
    config.default_hooks.checkpoint = dict(type='mixmae_mm.AtomicCheckpointHook')
    config.default_hooks.guard = dict(type='mixmae_mm.NanGuardHook')
    run_until(config, custom_hooks=[dict(type='BadStepsHook')])
    resumed = run_until(config, resume=True)
    assert [hook.events for hook in resumed.hooks if isinstance(hook, NanGuardHook)] == [2]
