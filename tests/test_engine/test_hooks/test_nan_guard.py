"""Steps with non-finite numbers are skipped, and can be replayed."""

import contextlib
import faulthandler
import functools
import gc
import logging
import os
import weakref
from types import SimpleNamespace

import pytest
import torch
from forked import spawn
from fragile_toys import FragileModel, fragile_config, snapshot
from micro_training import free_port
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import FlexibleRunner, Runner
from torch import distributed
from training_toys import last_checkpoint, run_until, same, trained_alike

from mixmae_mm.engine.hooks import NanGuardHook
from mixmae_mm.engine.hooks.nan_guard import NOTHING, find_nonfinite

FORWARD = 'first module with a non-finite output: '


@HOOKS.register_module()
class CompareHook(Hook):
    """Keep weights and optimizer state after each iteration."""

    priority = 'LOWEST'

    def before_train(self, runner):
        self.after = {}

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.after[runner.iter] = snapshot(runner)


def train(folder, **settings):
    """Train; return the runner, the states after each iteration, and the log messages about skipped steps."""
    config = fragile_config(folder, **settings)
    config.default_hooks.compare = dict(type='CompareHook')
    warned = []
    handler = logging.Handler()
    handler.emit = lambda record: warned.append(record.getMessage())
    runner = (FlexibleRunner if 'strategy' in config else Runner).from_cfg(config)
    runner.logger.addHandler(handler)
    runner.train()
    (compare,) = (hook for hook in runner.hooks if isinstance(hook, CompareHook))
    return runner, compare.after, [text for text in warned if 'This step was skipped' in text]


def stored(folder, iteration, rank=0):
    return torch.load(folder / f'nonfinite/iter_{iteration}/rank_{rank}.pth', weights_only=False)


@pytest.mark.parametrize(
    ('what', 'found'),
    [
        ('batch', f'{FORWARD}data_preprocessor (BaseDataPreprocessor); so is its input already'),
        ('module', f'{FORWARD}layers.1 (Squares); its input is finite'),
    ],
)
def test_bad_steps_are_skipped_and_the_run_continues(tmp_path, what, found):
    """Two in a row are stored as separate iterations, each with the running statistics that it began with."""
    runner, after, warned = train(tmp_path, poison=dict(at=[4, 5], what=what))
    assert same(after[4], after[3])
    assert same(after[5], after[3])
    assert not same(after[6], after[5])
    assert all(bool(value.isfinite().all()) for value in runner.model.state_dict().values())
    for number, text in enumerate(warned, start=1):
        assert text.startswith(f'iteration {number + 3}: loss ')
        assert 'non-finite gradients, from layers.6.bias back to layers.0.weight' in text
        assert f'({number} of 3 before the run stops); {found}. To run it again' in text
        assert stored(tmp_path, number + 3)['number'] == number + 3
    kept = torch.load(tmp_path / 'nonfinite/iter_4/weights.pth')['state_dict']
    assert same(dict(kept), after[3][0])
    assert (tmp_path / 'nonfinite/iter_4/config.py').is_file()
    assert not {'step', 'backward'} & vars(runner.optim_wrapper).keys()  # after training the wrapper is itself again


def test_bad_weights_are_named_and_stop_the_run(tmp_path):
    with pytest.raises(FloatingPointError) as stopped:
        train(tmp_path, poison=dict(at=[8], what='weights'), max_events=2)
    text = str(stopped.value)
    assert text.startswith('iteration 9: loss nan, ')
    assert f'{FORWARD}layers.3 (Linear); its input is finite; so are its own weight.' in text
    assert 'Resuming from the last checkpoint would only repeat this' in text
    assert {path.name for path in (tmp_path / 'nonfinite').iterdir()} == {'iter_8', 'iter_9'}


def test_gradients_are_seen_before_clipping_spreads_them(tmp_path):
    """Clipping would spread one bad gradient to all by their common norm."""
    wrapper = dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=0.01), clip_grad=dict(max_norm=1.0))
    named = 'iteration 5: .*; 6 non-finite gradients, from layers.3.bias back to layers.0.weight. To run'
    with pytest.raises(FloatingPointError, match=named):
        train(tmp_path, poison=dict(at=[5], what='backward'), max_events=1, optim_wrapper=wrapper)


@pytest.mark.parametrize('what', ['module', 'backward'])
def test_accumulated_iterations_are_skipped_together_and_one_batch_is_held(tmp_path, what):
    """The first of 6 iterations with a bad loss or bad gradients is found, without keeping other batches."""
    held = []

    @HOOKS.register_module(force=True)
    class CountBatchesHook(Hook):
        priority = 'LOWEST'

        def before_train_iter(self, runner, batch_idx, data_batch=None):
            self.batches = [*getattr(self, 'batches', []), weakref.ref(data_batch['inputs'])]
            gc.collect()
            held.append(sum(batch() is not None for batch in self.batches))

    wrapper = dict(type='OptimWrapper', accumulative_counts=6, optimizer=dict(type='AdamW', lr=0.01))
    hooks = [dict(type='CountBatchesHook')]
    _, after, warned = train(tmp_path, poison=dict(at=[8], what=what), optim_wrapper=wrapper, custom_hooks=hooks)
    assert [text.partition(':')[0] for text in warned] == ['iteration 11']
    assert stored(tmp_path, 11)['number'] == 8
    assert max(held) == 2  # the batch at work, and the one at fault
    if what == 'module':
        assert f'{FORWARD}layers.1 (Squares)' in warned[0]
        assert same(after[11], after[5])
        assert not same(after[5], after[4])


def test_a_guarded_run_ends_as_an_unguarded_one_and_a_resumed_as_a_straight_one(tmp_path):
    ends = {}
    for name, poison in (('bare', None), ('guarded', None), ('straight', [3, 7]), ('resumed', [3, 7])):
        config = fragile_config(tmp_path / name, poison=poison and dict(at=poison))
        if name == 'bare':
            del config.default_hooks['guard']
        run_until(config, 9 if name == 'resumed' else None)
        if name == 'resumed':
            run_until(config, resume=True)
        ends[name] = last_checkpoint(tmp_path / name)
    assert all(trained_alike(ends['bare'], ends['guarded']).values())
    assert all(trained_alike(ends['straight'], ends['resumed']).values())


def test_looking_changes_no_random_states_and_leaves_no_hooks(tmp_path):
    runner, *_ = train(tmp_path, train_cfg=dict(by_epoch=True, max_epochs=1))
    batch, state = next(iter(runner.train_dataloader)), torch.get_rng_state()
    assert find_nonfinite(runner.model.train(), batch, 0, runner.optim_wrapper.optim_context) == NOTHING
    assert torch.equal(torch.get_rng_state(), state)
    assert not any(module._forward_hooks for module in runner.model.modules())


def scaled(scale):
    return dict(type='ScalingWrapper', scale=scale, optimizer=dict(type='AdamW', lr=0.01))


def test_overflow_is_left_to_a_loss_scaler_until_its_scale_is_small_but_the_loss_is_checked(tmp_path):
    runner, _, warned = train(tmp_path / 'overflow', optim_wrapper=scaled(3e38))
    assert warned == []
    assert runner.optim_wrapper.loss_scaler.get_scale() < 2e38  # it did overflow, and found its scale
    *_, warned = train(tmp_path / 'loss', poison=dict(at=[7]), optim_wrapper=scaled(1024.0))
    assert [text.partition(',')[0] for text in warned] == ['iteration 7: loss nan']
    with pytest.raises(FloatingPointError, match=r'iteration 7: 6 non-finite gradients'):
        train(tmp_path / 'small', poison=dict(at=[5], what='backward'), optim_wrapper=scaled(2.0), max_events=1)


@pytest.fixture
def amp(monkeypatch):
    """Make mmengine's wrapper for GPUs work on a CPU, with a CPU scaler."""
    module = 'mmengine.optim.optimizer.amp_optimizer_wrapper'
    monkeypatch.setattr(f'{module}.is_cuda_available', lambda: True)
    monkeypatch.setattr(f'{module}.GradScaler', functools.partial(torch.amp.GradScaler, device='cpu'))
    monkeypatch.setattr('mmengine.runner.amp.autocast', lambda **_: contextlib.nullcontext())
    return lambda **settings: dict(type='AmpOptimWrapper', optimizer=dict(type='AdamW', lr=0.01), **settings)


def test_in_bfloat16_bad_gradients_are_skipped_and_no_scaler_runs(tmp_path, amp):
    wrapper = amp(dtype='bfloat16', loss_scale='dynamic', clip_grad=dict(max_norm=1.0))
    runner, after, warned = train(tmp_path, poison=dict(at=[5], what='backward'), max_events=100, optim_wrapper=wrapper)
    assert warned[0].startswith('iteration 5: 6 non-finite gradients')
    assert same(after[6][1], after[4][1])
    assert not runner.optim_wrapper.loss_scaler.is_enabled()
    assert last_checkpoint(tmp_path)['optimizer']['loss_scaler'] == {}


@pytest.mark.parametrize(
    ('first', 'then', 'scale'), [('float16', 'bfloat16', 1), ('bfloat16', 'float16', 64), ('float16', 'float16', 512)]
)
def test_a_run_resumes_with_and_without_the_state_of_a_scaler(tmp_path, amp, first, then, scale):
    config = fragile_config(tmp_path, optim_wrapper=amp(dtype=first, loss_scale=dict(init_scale=512.0)))
    run_until(config, 9)
    config.optim_wrapper = amp(dtype=then, loss_scale=dict(init_scale=64.0))
    assert run_until(config, resume=True).optim_wrapper.loss_scaler.get_scale() == scale


def test_other_wrappers_are_left_alone():
    warned = []
    logger = SimpleNamespace(warning=warned.append)
    runner = SimpleNamespace(optim_wrapper=SimpleNamespace(), iter=0, seed=0, rank=0, logger=logger)
    hook = NanGuardHook()
    hook.before_train(runner)
    hook.before_train_iter(runner, 0)
    hook.after_train_iter(runner, 0)
    hook.after_train(runner)
    assert warned == ['NanGuardHook ignores SimpleNamespace: steps with non-finite numbers are not skipped']


def train_in_two(rank, folder, port, sharded):
    """Train as one of two processes, the second of which gets a bad batch."""
    faulthandler.dump_traceback_later(200, exit=True)
    os.environ['LOCAL_RANK'] = '0'
    distributed.init_process_group('gloo', init_method=f'tcp://127.0.0.1:{port}', rank=rank, world_size=2)
    settings = dict(strategy=dict(type='mixmae_mm.ShardingStrategy'), env_cfg={})
    if not sharded:
        wrapper = dict(type='MMDistributedDataParallel', broadcast_buffers=False, device_ids=None)
        settings = dict(launcher='pytorch', model_wrapper_cfg=wrapper)
    _, after, _ = train(folder, poison=dict(at=[4], what='module', rank=1), **settings)
    torch.save(after, f'{folder}/after{rank}.pt')
    distributed.barrier()
    os._exit(0)  # seldom, gloo waits for ever for its threads when it is taken down


@pytest.mark.slow
@pytest.mark.parametrize('sharded', [False, True])
def test_processes_skip_together_and_the_one_at_fault_is_named(tmp_path, sharded):
    spawn(train_in_two, (str(tmp_path), free_port(), sharded), processes=2)
    for rank in (0, 1):
        after = torch.load(tmp_path / f'after{rank}.pt', weights_only=False)
        assert same(after[4], after[3])
        assert not same(after[5], after[4])
    if not sharded:
        assert stored(tmp_path, 4, rank=0)['finding'] == NOTHING
        assert stored(tmp_path, 4, rank=1)['finding'] == f'{FORWARD}layers.1 (Squares); its input is finite'
    weights = torch.load(tmp_path / 'nonfinite/iter_4/weights.pth')['state_dict']
    assert {name: value.shape for name, value in weights.items()} == {
        name: value.shape for name, value in FragileModel().state_dict().items()
    }
    (log,) = tmp_path.glob('*/*.log')
    assert f'replay_nonfinite.py {tmp_path}/nonfinite/iter_4 --rank 1' in log.read_text()
