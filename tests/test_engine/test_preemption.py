"""A run that is stopped within an epoch and resumed ends exactly like an uninterrupted one."""

import os
import signal
import time
from collections import Counter
from multiprocessing import get_context
from multiprocessing.util import Finalize

import pytest
import torch
from micro_training import finish, in_two, make_config, make_images, tool
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.registry import DATASETS, HOOKS, LOOPS, MODELS, OPTIM_WRAPPER_CONSTRUCTORS
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch.utils.data import BatchSampler, IterableDataset, SequentialSampler
from training_pair import start_two
from training_toys import TRAINED, ToyImages, last_checkpoint, run_until, same, toy_config, trained_alike

from mixmae_mm.datasets import ImageFolder
from mixmae_mm.engine.hooks import PreemptionHook
from mixmae_mm.engine.hooks.preemption import LATEST, PREEMPTED, Preempted, Remaining
from mixmae_mm.engine.hooks.run_identity import differences, digest, flat

ALIKE = dict.fromkeys(TRAINED, True)


@HOOKS.register_module()
class AskHook(Hook):
    """Ask this process to stop within an iteration."""

    def __init__(self, after, name='SIGTERM'):
        self.after, self.number = after, getattr(signal, name)

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter + 1 == self.after:
            os.kill(os.getpid(), self.number)


def config_of(folder, loader=None, preemption=None, **settings):
    config = toy_config(folder, **settings)
    config.train_dataloader.update(loader or {})
    config.default_hooks.preemption = dict(type='mixmae_mm.PreemptionHook', **(preemption or {}))
    return config


def stopped(config, after, **asking):
    """Train until a signal stops it."""
    with pytest.raises(Preempted) as error:
        run_until(config, custom_hooks=[dict(type='AskHook', after=after, **asking)])
    assert error.value.code == PREEMPTED


@pytest.fixture(scope='module')
def straight(tmp_path_factory):
    """Return the last checkpoints of runs without an interruption."""
    ends = {}
    for by_epoch in (True, False):
        folder = tmp_path_factory.mktemp('straight')
        run_until(config_of(folder, by_epoch=by_epoch))
        assert not (folder / LATEST).exists()
        ends[by_epoch] = last_checkpoint(folder)
    return ends


@pytest.mark.parametrize(
    ('name', 'by_epoch', 'after', 'workers'),
    [
        *(('SIGTERM', True, after, workers) for after, workers in ((15, 0), (15, 2), (12, 2), (1, 0), (23, 2))),
        ('SIGUSR1', True, 16, 2),
        ('SIGUSR1', False, 13, 0),
        ('SIGTERM', False, 14, 2),
    ],
)
def test_it_resumes_where_a_signal_stopped_it(tmp_path, straight, name, by_epoch, after, workers):
    """Epochs have 6 iterations; the resumed run has another number of workers."""
    stopped(config_of(tmp_path, by_epoch=by_epoch), after, name=name)
    written = torch.load(tmp_path / LATEST, weights_only=False)
    assert written['meta']['iter'] == after
    assert (tmp_path / 'last_checkpoint').read_text() == str(tmp_path / LATEST)
    loader = dict(num_workers=workers, persistent_workers=workers > 0)
    run_until(config_of(tmp_path, loader, by_epoch=by_epoch), resume=True)
    ended = last_checkpoint(tmp_path)
    assert ended['meta']['iter'] == 24
    assert trained_alike(straight[by_epoch], ended) == ALIKE
    assert not (tmp_path / LATEST).exists()
    assert signal.getsignal(getattr(signal, name)) == signal.SIG_DFL


@pytest.mark.parametrize('error', [KeyboardInterrupt, ValueError])
def test_signals_are_left_alone_however_training_ends(tmp_path, error):
    @HOOKS.register_module(force=True)
    class RaiseHook(Hook):
        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            assert signal.getsignal(signal.SIGTERM) != signal.SIG_DFL
            raise error

    config = config_of(tmp_path)
    config.custom_hooks = [dict(type='RaiseHook')]
    with pytest.raises(error):
        Runner.from_cfg(config).train()
    assert signal.getsignal(signal.SIGTERM) == signal.getsignal(signal.SIGUSR1) == signal.SIG_DFL


def test_processes_forked_in_training_end_by_the_signal(tmp_path):
    ended = []

    @HOOKS.register_module(force=True)
    class ForkHook(Hook):
        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            if runner.iter == 2:
                child = get_context('fork').Process(target=time.sleep, args=(60,))
                child.start()
                child.terminate()
                child.join(30)
                ended.append(child.exitcode)

    config = config_of(tmp_path)
    config.custom_hooks = [dict(type='ForkHook')]
    assert Runner.from_cfg(config).train() is not None
    assert ended == [-signal.SIGTERM]


def test_a_run_without_checkpoints_is_left_alone(tmp_path):
    config = config_of(tmp_path)
    config.default_hooks.checkpoint = None
    runner = run_until(config)
    assert runner.iter == 24
    assert not list(tmp_path.glob('*.pth'))


def test_a_checkpoint_that_does_not_say_where_begins_the_epoch_anew(tmp_path):
    config = toy_config(tmp_path)
    config.default_hooks.checkpoint = dict(type='CheckpointHook', by_epoch=False, interval=5)
    run_until(config, interrupt_after=16)
    runner, said = resumed(config_of(tmp_path))
    assert any('does not say where in epoch 3' in line for line in said)
    assert runner.iter == 15 + 2 * 6


def test_what_was_seen_is_not_read_again(tmp_path, monkeypatch):
    stopped(config_of(tmp_path), 15)  # the third batch of the third epoch
    read, get = [], ToyImages.__getitem__
    monkeypatch.setattr(ToyImages, '__getitem__', lambda self, index: read.append(int(index)) or get(self, index))
    runner = run_until(config_of(tmp_path), resume=True)
    assert runner.iter == 24
    assert len(read) == 4 * (24 - 15)
    assert Counter(Counter(read).values()) == {1: 12, 2: 12}  # half of the third epoch, and the fourth


@DATASETS.register_module()
class ToyStream(IterableDataset):
    """A stream of 24 images, which have no indices."""

    def __init__(self):
        self.images = ToyImages(pipeline=[dict(type='ToyAugment')])

    def __iter__(self):
        yield from self.images

    def __len__(self):
        return len(self.images)


@pytest.mark.parametrize('by_epoch', [True, False])
def test_a_stream_cannot_be_resumed_within_an_epoch(tmp_path, by_epoch):
    """Only reading can skip what was seen of it, which mmengine does in runs by iterations."""
    config = config_of(tmp_path, dict(sampler=None), by_epoch=by_epoch)
    config.train_dataloader.dataset = dict(type='ToyStream')
    stopped(config, 15)
    if by_epoch:
        with pytest.raises(ValueError, match='stream .*cannot be resumed within an epoch'):
            run_until(config, resume=True)
    else:
        assert run_until(config, resume=True).iter == 24


def test_log_lines_continue_counting(tmp_path):
    seen = []

    @HOOKS.register_module(force=True)
    class CountHook(Hook):
        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            seen.append((runner.epoch, batch_idx, runner.iter))

    stopped(config_of(tmp_path), 15)
    config = config_of(tmp_path)
    config.custom_hooks = [dict(type='CountHook')]
    run_until(config, resume=True)
    assert seen == [(i // 6, i % 6, i) for i in range(15, 24)]


def test_without_it_the_epoch_begins_anew(tmp_path, straight):
    """This is mmengine's behavior, which the hook is meant to fix."""
    stopped(config_of(tmp_path), 15)
    run_until(toy_config(tmp_path), resume=True)
    assert trained_alike(straight[True], last_checkpoint(tmp_path))['state_dict'] is False


def test_a_checkpoint_every_so_many_minutes(tmp_path, straight):
    config = config_of(tmp_path, preemption=dict(minutes=1e-9))
    run_until(config, interrupt_after=16)
    assert torch.load(tmp_path / LATEST, weights_only=False)['meta']['iter'] >= 15
    run_until(config, resume=True)
    assert trained_alike(straight[True], last_checkpoint(tmp_path)) == ALIKE
    rare = config_of(tmp_path / 'rare', preemption=dict(minutes=60))
    run_until(rare, interrupt_after=16)
    assert not (tmp_path / 'rare' / LATEST).exists()


ACCUMULATING = dict(type='OptimWrapper', accumulative_counts=4, optimizer=dict(type='AdamW', lr=0.01))
"""Over 4 of 6 iterations, and then over 2."""


@pytest.fixture(scope='module')
def accumulated(tmp_path_factory):
    """Return the last checkpoints of runs without an interruption that accumulate gradients."""
    ends = {}
    for by_epoch in (True, False):
        folder = tmp_path_factory.mktemp('accumulated')
        run_until(config_of(folder, by_epoch=by_epoch, optim_wrapper=ACCUMULATING))
        ends[by_epoch] = last_checkpoint(folder)
    return ends


@pytest.mark.parametrize(
    ('by_epoch', 'asked', 'written'), [(True, 13, 16), (True, 16, 16), (True, 17, 18), (False, 13, 16)]
)
def test_a_signal_waits_for_accumulated_gradients(tmp_path, accumulated, by_epoch, asked, written):
    stopped(config_of(tmp_path, by_epoch=by_epoch, optim_wrapper=ACCUMULATING), asked)
    assert torch.load(tmp_path / LATEST, weights_only=False)['meta']['iter'] == written
    run_until(config_of(tmp_path, by_epoch=by_epoch, optim_wrapper=ACCUMULATING), resume=True)
    assert trained_alike(accumulated[by_epoch], last_checkpoint(tmp_path)) == ALIKE


@pytest.mark.parametrize('by_epoch', [True, False])
def test_each_of_several_optimizers_is_asked(tmp_path, by_epoch):
    @MODELS.register_module(force=True)
    class Several(BaseModel):
        def __init__(self):
            super().__init__()
            self.one, self.other = torch.nn.Linear(8, 8), torch.nn.Linear(8, 8)

        def train_step(self, data, optim_wrapper):
            with torch.no_grad():
                inputs = data['inputs']
            for name, wrapper in optim_wrapper.items():
                wrapper.update_params(getattr(self, name)(inputs).square().mean())
            return dict(loss=inputs.mean())

        def forward(self, *args, **others):
            pass

    wrappers = dict(constructor='SeveralConstructor', accumulative_counts=2)
    config = config_of(tmp_path, model=dict(type='Several'), by_epoch=by_epoch, param_scheduler=None)

    @OPTIM_WRAPPER_CONSTRUCTORS.register_module(force=True)
    class SeveralConstructor:
        def __init__(self, optim_wrapper_cfg, paramwise_cfg=None):
            pass

        def __call__(self, model):
            return OptimWrapperDict(**{
                name: OptimWrapper(torch.optim.SGD(part.parameters(), lr=0.1), accumulative_counts=2)
                for name, part in model.named_children()
                if name != 'data_preprocessor'
            })  # fmt: skip

    config.optim_wrapper = wrappers | dict(optimizer=dict(type='SGD', lr=0.1))
    stopped(config, 13)
    assert torch.load(tmp_path / LATEST, weights_only=False)['meta']['iter'] == 14


def test_asked_in_the_last_iteration_a_run_just_ends(tmp_path, straight):
    run_until(config_of(tmp_path, by_epoch=False), custom_hooks=[dict(type='AskHook', after=24)])
    assert trained_alike(straight[False], last_checkpoint(tmp_path)) == ALIKE
    assert not (tmp_path / LATEST).exists()


def test_asked_too_late_a_validation_afterwards_is_made(tmp_path):
    config = config_of(tmp_path, by_epoch=False)
    images = dict(type='ToyImages', pipeline=[dict(type='ToyAugment')])
    config.val_dataloader = config.train_dataloader | dict(sampler=dict(type='DefaultSampler'), dataset=images)
    config.val_cfg, config.val_evaluator = dict(), []
    config.train_cfg.val_begin = 99
    config.custom_hooks = [dict(type='AskHook', after=24)]
    runner = Runner.from_cfg(config)
    runner.train()
    runner.val()
    assert not (tmp_path / LATEST).exists()


def test_training_twice_signals_are_as_before(tmp_path):
    runner = Runner.from_cfg(config_of(tmp_path))
    for _ in range(2):
        runner.train()
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


@LOOPS.register_module()
class OwnEpochLoop(EpochBasedTrainLoop):
    """Epochs run by another library's code."""

    def run_epoch(self):
        super().run_epoch()


def test_epochs_of_other_loops_begin_anew_with_a_warning(tmp_path):
    config = config_of(tmp_path)
    config.train_cfg = dict(type='OwnEpochLoop', max_epochs=4)
    stopped(config, 15)
    assert 'seen' not in last_checkpoint(tmp_path)['meta']
    runner, said = resumed(config)
    assert any('the epoch starts over' in line for line in said)
    assert runner.iter == 15 + 12


@HOOKS.register_module()
class SlowHook(Hook):
    """Take seconds to write a checkpoint, with a second signal meanwhile, and seconds to end."""

    priority = 'LOWEST'

    def before_save_checkpoint(self, runner, checkpoint):
        time.sleep(4)
        os.kill(os.getpid(), signal.SIGTERM)
        Finalize(None, time.sleep, args=(9,), exitpriority=0)


@pytest.mark.slow
def test_processes_end_when_the_checkpoint_is_written(tmp_path):
    """All get a signal, some a second one, and another when the first process has ended, as launchers do."""
    configs = [config_of(tmp_path) for _ in range(2)]
    for config in configs:
        config.default_hooks.checkpoint.interval = 100
        config.custom_hooks = [dict(type='AskHook', after=3)]
    configs[0].custom_hooks.append(dict(type='SlowHook'))
    writer, other = start_two(__name__, *configs)
    other.join(100)
    assert (tmp_path / LATEST).exists()
    assert (tmp_path / 'last_checkpoint').exists()
    assert writer.is_alive()
    writer.terminate()
    writer.join(100)
    assert (writer.exitcode, other.exitcode) == (PREEMPTED, PREEMPTED)


def test_the_only_checkpoint_stays(tmp_path):
    config = config_of(tmp_path, by_epoch=False)
    config.default_hooks.checkpoint.update(interval=100, save_last=False)
    stopped(config, 21)
    run_until(config, resume=True)
    assert last_checkpoint(tmp_path)['meta']['iter'] == 21


@pytest.mark.parametrize('every', [dict(by_epoch=True, interval=1), dict(by_epoch=False, interval=5)])
def test_other_checkpoints_lose_no_accumulated_gradients(tmp_path, accumulated, every):
    """None are left at an epoch's end; every 5 iterations means after the updates of 6, 10, 16 and 22."""
    config = config_of(tmp_path, optim_wrapper=ACCUMULATING)
    config.default_hooks.checkpoint = dict(type='mixmae_mm.AtomicCheckpointHook', **every)
    run_until(config, interrupt_after=20)
    assert last_checkpoint(tmp_path)['meta']['iter'] == (18 if every['by_epoch'] else 16)
    run_until(config, resume=True)
    assert 'not divisible' not in ''.join(log.read_text() for log in tmp_path.rglob('*.log'))
    assert trained_alike(accumulated[True], last_checkpoint(tmp_path)) == ALIKE


def test_an_epoch_ends_with_the_mean_of_the_gradients_that_are_there(tmp_path):
    """Losses are the weight times 1, 2, ... 6, so SGD steps by the mean of 1 to 4, then of 5 and 6."""

    @HOOKS.register_module(force=True)
    class RecordHook(Hook):
        steps = []

        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            self.steps.append(runner.model.weight.item())

    @MODELS.register_module(force=True)
    class CountingModel(BaseModel):
        def __init__(self):
            super().__init__()
            self.weight, self.batches = torch.nn.Parameter(torch.zeros(())), 0

        def forward(self, inputs, mode='tensor', **others):
            self.batches += 1
            return dict(loss=self.weight * -(1 + (self.batches - 1) % 6))

    wrapper = dict(ACCUMULATING, optimizer=dict(type='SGD', lr=1.0))
    config = config_of(tmp_path, model=dict(type='CountingModel'), optim_wrapper=wrapper, param_scheduler=None)
    config.train_cfg.max_epochs = 2
    run_until(config, custom_hooks=[dict(type='RecordHook')])
    assert RecordHook.steps == [0, 0, 0, 2.5, 2.5, 8] + [8, 8, 8, 10.5, 10.5, 16]


def resumed(config):
    """Resume, and collect warnings."""
    config.resume = True
    runner, lines = Runner.from_cfg(config), []
    runner.logger.warning = lambda text, *values: lines.append(text % values if values else text)
    runner.train()
    return runner, lines


def identified(folder, loader=None, allow=False, **settings):
    config = config_of(folder, loader, **settings)
    config.default_hooks.run_identity = dict(type='mixmae_mm.RunIdentityHook', allow_changes=allow)
    return config


def test_the_same_run_resumes(tmp_path, straight):
    stopped(identified(tmp_path), 15)
    runner, said = resumed(identified(tmp_path, dict(num_workers=2)))
    assert trained_alike(straight[True], last_checkpoint(tmp_path)) == ALIKE
    assert said == []


@pytest.mark.parametrize(
    ('changed', 'message'),
    [
        (dict(loader=dict(batch_size=2)), 'images in a batch of each: 4 then, 2 now; batches in an epoch: 6 then, 12'),
        (dict(randomness=dict(seed=7)), 'seed: 0 then, 7 now'),
        (dict(loader=dict(batch_size=4, dataset=dict(type='ToyImages', indices=12))), 'images: 24 then, 12 now'),
    ],
)
def test_another_run_does_not_resume_unless_it_may(tmp_path, changed, message):
    stopped(identified(tmp_path), 15)
    pipeline = config_of(tmp_path).train_dataloader.dataset.pipeline
    if 'dataset' in changed.get('loader', {}):
        changed['loader']['dataset']['pipeline'] = pipeline
    with pytest.raises(ValueError, match=f'another run: .*{message}.*--allow-changes'):
        run_until(identified(tmp_path, **changed), resume=True)
    runner, said = resumed(identified(tmp_path, allow=True, **changed))
    assert any(message in line for line in said)
    # of the third epoch, of which 3 of 6 batches were seen, all where its batches are others
    left = 9 if 'randomness' in changed else 2 * len(runner.train_dataloader)
    assert runner.iter == 15 + left


def test_settings_that_change_the_result_are_compared(tmp_path):
    stopped(identified(tmp_path), 15)
    wrapper = dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=0.02, betas=(0.9, 0.95)))
    others = dict(optim_wrapper=wrapper, model=dict(type='ToyModel', width=16))
    message = (
        r'optim_wrapper.optimizer.lr: 0.01 then, 0.02 now; model.width: nothing then, 16 now; '
        r'optim_wrapper.optimizer.betas.0: nothing then, 0.9 now; optim_wrapper.optimizer.betas.1'
    )
    with pytest.raises(ValueError, match=f'belongs to another run: {message}'):
        run_until(identified(tmp_path, **others), resume=True)
    runner, said = resumed(identified(tmp_path, allow=True, **others))
    assert 'optimizer settings still come from the checkpoint' in said[1]
    assert runner.optim_wrapper.optimizer.param_groups[0]['initial_lr'] == 0.01


def test_settings_are_compared_as_they_are_written():
    config = dict(a=[dict(b=(1, 'x')), None], num_workers=2, c=dict(init_cfg=3, d=test_settings_are_checked))
    assert dict(flat(config, 'model')) == {
        'model.a.0.b.0': '1', 'model.a.0.b.1': "'x'", 'model.a.1': 'None', 'model.c.d': 'test_settings_are_checked'
    }  # fmt: skip
    many = {f'model.x{number}': '1' for number in range(9)}
    lines = differences(dict(seed=1, settings=many), dict(seed=2, settings=dict.fromkeys(many, '2')))
    assert [lines[0], lines[-1]] == ['seed: 1 then, 2 now', 'and 4 more']
    assert differences(dict(seed=1), dict(seed=1, images=3, settings=many)) == []


@pytest.mark.parametrize('interrupt_after', [13, 21])
def test_checkpoints_of_iterations_in_a_run_of_epochs(tmp_path, straight, interrupt_after):
    """Checkpoints come every 5 iterations, within epochs of 6: after 10 and 20."""
    config = config_of(tmp_path)
    config.default_hooks.checkpoint = dict(type='CheckpointHook', by_epoch=False, interval=5, save_last=True)
    run_until(config, interrupt_after)
    assert last_checkpoint(tmp_path)['meta']['iter'] == interrupt_after // 5 * 5
    run_until(config, resume=True)
    assert trained_alike(straight[True], last_checkpoint(tmp_path)) == ALIKE


def test_averaged_weights_resume_alike(tmp_path):
    average = dict(type='EMAHook', momentum=0.1)
    ends = []
    for name, after in (('straight', None), ('stopped', 15)):
        folder = tmp_path / name
        if after:
            with pytest.raises(Preempted):
                run_until(config_of(folder), custom_hooks=[average, dict(type='AskHook', after=after)])
        run_until(config_of(folder), custom_hooks=[average], resume=bool(after))
        ends.append(last_checkpoint(folder))
    assert trained_alike(*ends) == ALIKE
    assert same(*(dict(end['ema_state_dict']) for end in ends))
    assert not same(dict(ends[0]['ema_state_dict']), dict(ends[0]['state_dict']))


def test_other_files_are_another_run(tmp_path):
    folder = tmp_path / 'images'
    make_images(folder)
    sets = [ImageFolder(str(folder)), ImageFolder(str(folder))]
    assert digest(sets[0]) == digest(sets[1])
    (folder.rename(tmp_path / 'moved'))
    assert digest(ImageFolder(str(tmp_path / 'moved'))) == digest(sets[0])
    first = next((tmp_path / 'moved').rglob('*.jpg'))
    first.rename(first.with_name('other.jpg'))
    assert digest(ImageFolder(str(tmp_path / 'moved'))) != digest(sets[0])


@pytest.mark.parametrize(('kind', 'length'), [('CosineAnnealingLR', 'T_max'), ('PolyLR', 'end')])
def test_a_schedule_that_does_not_reach_the_end_is_reported(tmp_path, kind, length):
    def scheduled(steps, **settings):
        config = identified(tmp_path, **settings)
        config.param_scheduler = dict(type=kind, by_epoch=False, **{length: steps})
        return config

    stopped(scheduled(24), 15)
    runner, said = resumed(scheduled(30, train_cfg=dict(by_epoch=True, max_epochs=5)))
    assert any('the schedule is still that of the checkpoint' in line and 'load_from' in line for line in said)
    assert runner.iter == 30


def test_any_batch_sampler_is_shortened_once():
    batches = BatchSampler(SequentialSampler(range(10)), 4, drop_last=False)
    rest = Remaining(batches, 2)
    assert [list(rest), list(rest)] == [[[8, 9]], [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]]
    assert len(rest) == 3


@pytest.mark.parametrize(
    ('settings', 'message'),
    [(dict(minutes=0), 'minutes .* above 0'), (dict(signals=('SIGNIX',)), 'SIGNIX is not a signal')],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(ValueError, match=message):
        PreemptionHook(**settings)


@pytest.mark.slow
@pytest.mark.parametrize('strategy', ['', 'fsdp'])
def test_two_processes_agree_and_end_alike(tmp_path, strategy):
    """One of them gets a signal within an epoch of two iterations."""
    config = make_config(tmp_path)
    text = config.read_text() + "custom_imports['imports'].append('test_preemption')\n"
    text += "train_dataloader['batch_size'] = 4\n"
    if strategy:
        base = f'{__file__.rpartition("/tests/")[0]}/configs/_base_/strategies/fsdp.py'
        text = text.replace("_base_ = '", "_base_ = ['", 1).replace(".py'\n", f".py', '{base}']\n", 1)
    config.write_text(text)
    for process in in_two('train.py', config, '--work-dir', tmp_path / 'straight'):
        finish(process)
    here = '--work-dir', tmp_path / 'stopped'
    processes = in_two('train.py', config, *here, '--cfg-options', 'custom_hooks.0.after=None')
    deadline = time.monotonic() + 100
    while not (tmp_path / 'stopped/epoch_1.pth').exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(processes[0].process.pid, signal.SIGTERM)
    for process in processes:
        finish(process, PREEMPTED)
    written = torch.load(tmp_path / 'stopped' / LATEST, weights_only=False)
    assert written['meta']['iter'] < 12
    for process in in_two('train.py', config, *here, '--resume'):
        finish(process)
    assert trained_alike(last_checkpoint(tmp_path / 'straight'), last_checkpoint(tmp_path / 'stopped')) == ALIKE


@pytest.mark.slow
def test_another_number_of_processes_is_allowed_by_the_option(tmp_path):
    config = make_config(tmp_path)
    for process in in_two('train.py', config, '--work-dir', tmp_path / 'two'):
        finish(process)
    words = 'train.py', config, '--work-dir', tmp_path / 'one', '--resume', tmp_path / 'two/epoch_2.pth'
    out, err = finish(tool(*words), 1)
    assert 'processes: 2 then, 1 now; batches in an epoch: 2 then, 4 now' in out + err
    out, err = finish(tool(*words, '--allow-changes'))
    assert 'resumed with changes: processes: 2 then, 1 now' in out + err
    assert last_checkpoint(tmp_path / 'one')['meta']['iter'] == 2 * 2 + 4


@pytest.mark.slow
def test_weights_alone_are_no_run_to_resume(tmp_path):
    config = make_config(tmp_path)
    finish(tool('train.py', config, '--work-dir', tmp_path / 'run'))
    whole = torch.load(tmp_path / 'run/epoch_1.pth', weights_only=False)
    torch.save({key: whole[key] for key in ('meta', 'state_dict')}, tmp_path / 'run/best_x.pth')
    resumed = tool('train.py', config, '--work-dir', tmp_path / 'run', '--resume', tmp_path / 'run/best_x.pth')
    out, err = finish(resumed, 1)
    assert 'has no optimizer' in out + err
    assert 'load_from=FILE' in out + err
    out, err = finish(tool('train.py', config, '--work-dir', tmp_path / 'run'))
    assert 'belongs to an earlier run in this work_dir' in out + err
