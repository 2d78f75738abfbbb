"""Steps on numbers that are none are not taken, and what led to them can be run again."""

import contextlib
import faulthandler
import functools
import gc
import logging
import os
import random
import re
import weakref
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from forked import spawn
from fragile_toys import fragile_config, snapshot
from micro_training import free_port
from mmengine.hooks import Hook
from mmengine.optim import BaseOptimWrapper, OptimWrapper
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import distributed
from training_toys import last_checkpoint, run_until, same, trained_alike

from mixmae_mm.engine.hooks import NanGuardHook
from mixmae_mm.engine.hooks.nan_event import Fault, worst
from mixmae_mm.engine.hooks.nonfinite import NOTHING, find_nonfinite, random_states

FORWARD = 'first module with a non-finite output: '


@HOOKS.register_module()
class CompareHook(Hook):
    """Keep weights and optimizer from after each iteration."""

    priority = 'LOWEST'

    def before_train(self, runner):
        self.after = {}

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.after[runner.iter] = snapshot(runner, getattr(runner.model, 'module', runner.model))


def hook_of(runner, kind):
    return next(hook for hook in runner.hooks if isinstance(hook, kind))


def train(folder, **settings):
    """Train; the runner, and what was logged as a warning."""
    config = fragile_config(folder, **settings)
    config.default_hooks.compare = dict(type='CompareHook')
    told = []
    handler = logging.Handler()
    handler.emit = lambda record: told.append(record.getMessage())
    runner = Runner.from_cfg(config)
    runner.logger.addHandler(handler)
    runner.train()
    return runner, [text for text in told if 'The step was skipped' in text or 'This step was skipped' in text]


@pytest.mark.parametrize(
    ('what', 'found'),
    [
        ('batch', f'{FORWARD}data_preprocessor (BaseDataPreprocessor); so is its input already'),
        ('module', f'{FORWARD}layers.1 (Squares); its input is finite'),
    ],
)
def test_a_bad_step_is_skipped_and_the_run_continues(tmp_path, what, found):
    runner, told = train(tmp_path, poison=dict(at=[4, 9], what=what))
    after = hook_of(runner, CompareHook).after
    for bad in (4, 9):
        assert same(after[bad], after[bad - 1])
        assert not same(after[bad + 1], after[bad])
    assert sorted(after) == list(range(12))
    assert all(bool(value.isfinite().all()) for value in runner.model.state_dict().values())
    assert [text.partition(':')[0] for text in told] == ['iteration 4', 'iteration 9']
    for number, text in enumerate(told, start=1):
        assert re.search(r': loss (nan|inf), non-finite gradients of layers\.0\.weight, layers.0.bias, ', text)
        assert f'This step was skipped ({number} of 3 before the run stops). {found}. To run it again' in text
    assert sorted(path.name for path in (tmp_path / 'nonfinite/iter_9').iterdir()) == [
        'config.py', 'rank_0.pth', 'weights.pth'
    ]  # fmt: skip


def test_weights_kept_are_those_that_the_step_began_with(tmp_path):
    runner, _ = train(tmp_path, poison=dict(at=[7]))
    kept = torch.load(tmp_path / 'nonfinite/iter_7/weights.pth')['state_dict']
    assert same(dict(kept), hook_of(runner, CompareHook).after[6][0])


def test_bad_weights_are_named_and_stop_the_run(tmp_path):
    with pytest.raises(FloatingPointError) as stopped:
        train(tmp_path, poison=dict(at=[8], what='weights'), max_events=2)
    text = str(stopped.value)
    assert text.startswith('iteration 9: loss nan, ')
    assert '(2 of 2 before the run stops)' in text
    assert f'{FORWARD}layers.3 (Linear); its input is finite; so are its own weight.' in text
    assert f'The last checkpoint, {tmp_path}/epoch_1.pth, is from before: resume from it with something changed' in text
    assert {path.name for path in (tmp_path / 'nonfinite').iterdir()} == {'iter_8', 'iter_9'}


def test_without_a_checkpoint_it_says_so(tmp_path):
    with pytest.raises(FloatingPointError, match='There is no checkpoint yet: start with something changed'):
        train(tmp_path, poison=dict(at=[0]), max_events=1)


@pytest.mark.parametrize('clip', [None, dict(max_norm=1.0)])
def test_gradients_are_seen_before_clipping_spreads_them(tmp_path, clip):
    """From one bad gradient clipping makes all bad, by their common norm."""
    wrapper = dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=0.01), clip_grad=clip)
    with pytest.raises(FloatingPointError) as stopped:
        train(tmp_path, poison=dict(at=[5], what='backward'), max_events=1, optim_wrapper=wrapper)
    named = 'non-finite gradients of layers.0.weight, layers.0.bias, layers.2.weight (6 in all). '
    assert str(stopped.value).startswith(f'iteration 5: {named}')
    back = 'all outputs are finite; first non-finite gradient on the way back: at the output of layers.3 (Linear). '
    assert back in str(stopped.value)


def test_accumulated_iterations_are_skipped_together(tmp_path):
    wrapper = dict(type='OptimWrapper', accumulative_counts=3, optimizer=dict(type='AdamW', lr=0.01))
    runner, told = train(tmp_path, poison=dict(at=[7], what='module'), optim_wrapper=wrapper)
    after = hook_of(runner, CompareHook).after
    weights = {number: {k: v for k, v in state[0].items() if 'layers.2' not in k} for number, state in after.items()}
    assert same(weights[8], weights[5])
    assert same(after[8], after[5])
    assert not same(weights[11], weights[8])
    assert [text.partition(':')[0] for text in told] == ['iteration 8']
    assert f'{FORWARD}layers.1 (Squares)' in told[0]
    assert kept_iterations(tmp_path / 'nonfinite/iter_8') == [7]


def kept_iterations(folder, rank=0):
    """List the iterations that an event holds."""
    return [each['number'] for each in torch.load(folder / f'rank_{rank}.pth', weights_only=False)['iterations']]


def test_after_a_skipped_step_the_next_begins_with_nothing(tmp_path):
    """Two bad steps in a row: each keeps its own iteration, and the running statistics that it began with."""
    runner, told = train(tmp_path, poison=dict(at=[4, 5], what='module'))
    after = hook_of(runner, CompareHook).after
    assert same(after[4], after[3])
    assert same(after[5], after[3])
    assert not same(after[6], after[5])
    assert [text.partition(': loss')[0] for text in told] == ['iteration 4', 'iteration 5']
    assert [kept_iterations(tmp_path / f'nonfinite/iter_{number}') for number in (4, 5)] == [[4], [5]]


@pytest.mark.parametrize('what', ['module', 'backward'])
def test_of_an_accumulated_step_one_batch_is_held_whichever_is_at_fault(tmp_path, what):
    """The first of 6 iterations with a bad loss, or bad gradients alone, is found; no other batch is kept for it."""
    held = []

    @HOOKS.register_module(force=True)
    class CountBatchesHook(Hook):
        priority = 'LOWEST'

        def before_train_iter(self, runner, batch_idx, data_batch=None):
            self.batches = [*getattr(self, 'batches', []), weakref.ref(data_batch['inputs'])]
            if self.alive() > 2:
                gc.collect()
            held.append(self.alive())

        def alive(self):
            return sum(batch() is not None for batch in self.batches)

    wrapper = dict(type='OptimWrapper', accumulative_counts=6, optimizer=dict(type='AdamW', lr=0.01))
    hooks = [dict(type='CountBatchesHook')]
    _, told = train(tmp_path, poison=dict(at=[8], what=what), optim_wrapper=wrapper, custom_hooks=hooks)
    assert len(told) == 1
    assert told[0].startswith('iteration 11: ')
    assert kept_iterations(tmp_path / 'nonfinite/iter_11') == [8]
    assert FORWARD in told[0] if what == 'module' else 'on the way back: at the output of layers.3 (Linear)' in told[0]
    assert max(held) == 2  # the batch at work, and the one at fault


def test_a_guarded_run_ends_as_an_unguarded_one(tmp_path):
    for name in ('guarded', 'bare'):
        config = fragile_config(tmp_path / name)
        if name == 'bare':
            del config.default_hooks['guard']
        run_until(config)
    assert all(trained_alike(*(last_checkpoint(tmp_path / name) for name in ('guarded', 'bare'))).values())


def test_a_resumed_run_skips_what_the_other_skipped(tmp_path):
    for name, interruption in (('straight', None), ('resumed', 9)):
        config = fragile_config(tmp_path / name, poison=dict(at=[3, 7]))
        run_until(config, interruption)
        if interruption:
            run_until(config, resume=True)
    straight, resumed = (last_checkpoint(tmp_path / name) for name in ('straight', 'resumed'))
    assert straight['meta']['iter'] == resumed['meta']['iter'] == 12
    assert all(trained_alike(straight, resumed).values())


def scaled(scale):
    return dict(type='ScalingWrapper', scale=scale, optimizer=dict(type='AdamW', lr=0.01))


def test_a_loss_scaler_that_overflows_is_left_alone(tmp_path):
    runner, told = train(tmp_path, optim_wrapper=scaled(3e38))
    assert told == []
    assert runner.optim_wrapper.loss_scaler.get_scale() < 2e38  # it did overflow, and found its scale
    steps = {int(entry['step']) for entry in runner.optim_wrapper.optimizer.state.values()}
    assert steps < set(range(1, 12))


def test_with_a_loss_scaler_the_loss_is_monitored(tmp_path):
    runner, told = train(tmp_path, poison=dict(at=[7]), optim_wrapper=scaled(1024.0))
    assert [text.partition(',')[0] for text in told] == ['iteration 7: loss nan']
    assert runner.optim_wrapper.loss_scaler.get_scale() == 1024.0


def test_bad_gradients_are_no_overflow_once_the_scale_is_small(tmp_path):
    with pytest.raises(FloatingPointError, match=r'iteration 7: non-finite gradients of layers.0.weight'):
        train(tmp_path, poison=dict(at=[5], what='backward'), optim_wrapper=scaled(2.0), max_events=1)


def test_a_step_that_the_loss_scaler_skips_is_logged(tmp_path):
    run_until(fragile_config(tmp_path, optim_wrapper=scaled(3e38), log_level='INFO'))
    (log,) = (path.read_text() for path in tmp_path.glob('*/*.log'))
    falls = re.findall(r'infinite gradients: the loss scaler skipped a step \(([\d.e+]+) to ([\d.e+]+)\)', log)
    assert len(falls) >= 1
    scales = [3e38 / 2**number for number in range(len(falls) + 1)]
    assert [(float(one), float(two)) for one, two in falls] == [
        pytest.approx(pair, rel=1e-4) for pair in zip(scales, scales[1:], strict=False)
    ]


@pytest.fixture
def amp(monkeypatch):
    """Let mmengine's wrapper for GPUs be built here, with a scaler that works on a CPU."""
    module = 'mmengine.optim.optimizer.amp_optimizer_wrapper'
    monkeypatch.setattr(f'{module}.is_cuda_available', lambda: True)
    monkeypatch.setattr(f'{module}.GradScaler', functools.partial(torch.amp.GradScaler, device='cpu'))
    monkeypatch.setattr('mmengine.runner.amp.autocast', lambda **_: contextlib.nullcontext())
    return lambda **settings: dict(type='AmpOptimWrapper', optimizer=dict(type='AdamW', lr=0.01), **settings)


@pytest.mark.parametrize('settings', [dict(), dict(loss_scale='dynamic'), dict(clip_grad=dict(max_norm=1.0))])
def test_in_bfloat16_bad_gradients_are_skipped_and_no_scaler_runs(tmp_path, amp, settings):
    runner, told = train(
        tmp_path, poison=dict(at=[5], what='backward'), max_events=100, optim_wrapper=amp(dtype='bfloat16', **settings)
    )
    after = hook_of(runner, CompareHook).after
    assert told[0].startswith('iteration 5: non-finite gradients of layers.0.weight, ')
    assert same(after[6][1], after[4][1])
    assert not runner.optim_wrapper.loss_scaler.is_enabled()
    assert last_checkpoint(tmp_path)['optimizer']['loss_scaler'] == {}


def test_in_float16_bad_gradients_are_the_scalers(tmp_path, amp):
    runner, told = train(tmp_path, poison=dict(at=[5], what='backward'), optim_wrapper=amp(dtype='float16'))
    assert told == []
    assert runner.optim_wrapper.loss_scaler.get_scale() == 2.0**16 / 2**7  # one half for each of the iterations 5 to 11
    assert not any(value.isnan().any() for value in runner.model.state_dict().values())


@pytest.mark.parametrize(('first', 'then'), [('float16', 'bfloat16'), ('bfloat16', 'float16'), ('float16', 'float16')])
def test_a_run_resumes_with_and_without_the_state_of_a_scaler(tmp_path, amp, monkeypatch, first, then):
    config = fragile_config(tmp_path, optim_wrapper=amp(dtype=first, loss_scale=dict(init_scale=512.0)))
    run_until(config, 9)
    assert last_checkpoint(tmp_path)['optimizer']['loss_scaler'].get('scale') == (512 if first == 'float16' else None)
    config.optim_wrapper = amp(dtype=then, loss_scale=dict(init_scale=64.0))
    runner = run_until(config, resume=True)
    scaler = runner.optim_wrapper.loss_scaler
    assert runner.iter == 12
    expected = {'float16': 512.0 if first == 'float16' else 64.0, 'bfloat16': 1.0}[then]
    assert scaler.get_scale() == expected


def guarded(monkeypatch, *losses, model=None, verdict=None):
    """Have a guard look at a step of these losses; whether it was taken, and what was sent to all processes."""
    model = model or torch.nn.Linear(2, 1)
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1), accumulative_counts=len(losses))
    hook, sent, taken = NanGuardHook(), [], []
    hook.before_train(SimpleNamespace(optim_wrapper=wrapper, model=model, iter=0, logger=None))
    hook.step = lambda: taken.append(True)

    def all_reduce(flag, operation):
        sent.append((int(flag), operation))
        flag.fill_(verdict)

    monkeypatch.setattr('mixmae_mm.engine.hooks.nan_guard.is_distributed', lambda: verdict is not None)
    monkeypatch.setattr('mixmae_mm.engine.hooks.nan_guard.all_reduce', all_reduce)
    for loss in losses:
        wrapper.update_params(model(torch.ones(1, 2)).sum() * 0 + loss)
    return bool(taken), sent


def test_a_step_is_skipped_if_any_process_is_at_fault(monkeypatch):
    """Also where gradients, which processes share, are finite: a loss alone may be bad."""
    assert guarded(monkeypatch, 1.0, verdict=0) == (False, [(1, 'min')])
    assert guarded(monkeypatch, 1.0, verdict=1) == (True, [(1, 'min')])
    assert guarded(monkeypatch, float('nan'), verdict=0) == (False, [(0, 'min')])
    assert guarded(monkeypatch, 1.0, float('inf'), 1.0, verdict=0) == (False, [(0, 'min')])
    assert guarded(monkeypatch, 1.0) == (True, [])
    assert guarded(monkeypatch, float('nan')) == (False, [])


def test_parameters_of_which_a_process_has_nothing_are_no_fault(monkeypatch):
    """Under FSDP a process may hold an empty shard."""
    model = torch.nn.Linear(2, 1)
    model.empty = torch.nn.Parameter(torch.zeros(0))
    model.empty.grad = torch.zeros(0)
    assert guarded(monkeypatch, 1.0, model=model) == (True, [])


def test_looking_changes_nothing(tmp_path):
    runner, _ = train(tmp_path)
    model, guard = runner.model.train(), hook_of(runner, NanGuardHook)
    batch = next(iter(runner.train_dataloader))
    guard.before_train(runner)
    guard.before_train_iter(runner, 0, batch)
    before = snapshot(runner, model), random_states()
    torch.rand(3)
    states = random_states()
    text, assignments = find_nonfinite(model, [guard.iteration])
    assert text == 'nothing non-finite when it was run once more'
    assert assignments == [None]
    assert same(snapshot(runner, model), before[0])
    assert same_states(random_states(), states)
    assert not same_states(states, before[1])
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())


def same_states(one, other):
    same_arrays = np.array_equal(one['numpy'][1], other['numpy'][1]) and one['numpy'][2:] == other['numpy'][2:]
    return one['python'] == other['python'] and same_arrays and torch.equal(one['torch'], other['torch'])


def test_states_are_drawn_from_again(tmp_path):
    from mixmae_mm.engine.hooks.nonfinite import set_random_states

    states = random_states()
    draws = []
    for _ in range(2):
        set_random_states(states)
        draws.append((random.random(), np.random.rand(), float(torch.rand(()))))
    assert draws[0] == draws[1]


def test_after_training_the_wrapper_is_itself_again(tmp_path):
    runner, _ = train(tmp_path)
    assert not {'step', 'backward'} & vars(runner.optim_wrapper).keys()


def test_other_wrappers_are_left_alone():
    class Engine(BaseOptimWrapper):
        def __init__(self):
            pass

        update_params = backward = zero_grad = step = None

    told = []
    runner = SimpleNamespace(optim_wrapper=Engine(), iter=0, logger=SimpleNamespace(warning=told.append))
    hook = NanGuardHook()
    hook.before_train(runner)
    hook.before_train_iter(runner, 0)
    hook.after_train_iter(runner, 0)
    hook.after_train(runner)
    assert told == ['NanGuardHook leaves Engine alone: steps on non-finite numbers are not skipped']


@pytest.mark.parametrize('wrong', [0, -1, 1.5, None])
def test_a_number_of_events_that_stops_nothing_is_refused(wrong):
    with pytest.raises(ValueError, match=f'max_events is the number of skipped steps .* 1 or more, got {wrong}'):
        NanGuardHook(max_events=wrong)


def test_the_process_where_it_began_is_named():
    """First one whose run again found something, then one with a bad loss of its own, then the first."""
    handed = [Fault(rank, 'gradients', False, NOTHING) for rank in range(4)]
    assert worst(handed).rank == 0
    assert worst([*handed[:2], Fault(2, 'loss nan', True, NOTHING), handed[3]]).rank == 2
    assert worst([Fault(0, 'loss nan', True, NOTHING), handed[1], Fault(2, 'gradients', False, 'layer 1')]).rank == 2
    assert worst([Fault(0, 'gradients', False, 'layer 1'), Fault(1, 'loss nan', True, 'layer 1')]).rank == 1


def train_in_two(rank, folder, port):
    """Train as one of two processes, the second of which gets a bad batch."""
    faulthandler.dump_traceback_later(200, exit=True)
    os.environ['LOCAL_RANK'] = '0'
    distributed.init_process_group('gloo', init_method=f'tcp://127.0.0.1:{port}', rank=rank, world_size=2)
    wrapper = dict(type='MMDistributedDataParallel', broadcast_buffers=False, device_ids=None)
    settings = dict(launcher='pytorch', model_wrapper_cfg=wrapper)
    config = fragile_config(folder, poison=dict(at=[4], what='module', rank=1), **settings)
    config.default_hooks.compare = dict(type='CompareHook')
    runner = Runner.from_cfg(config)
    runner.train()
    torch.save(hook_of(runner, CompareHook).after, f'{folder}/after{rank}.pt')
    distributed.barrier()
    os._exit(0)  # seldom, gloo waits for ever for its threads when it is taken down


@pytest.mark.slow
def test_processes_skip_together(tmp_path):
    spawn(train_in_two, (str(tmp_path), free_port()), processes=2)
    one, two = (torch.load(tmp_path / f'after{rank}.pt', weights_only=False) for rank in (0, 1))
    weights = [[{k: v for k, v in state[0].items() if 'running' not in k} for state in r.values()] for r in (one, two)]
    assert same(*weights)
    assert same(one[4], one[3])
    assert same(two[4], two[3])
    assert not same(one[5], one[4])
    kept = tmp_path / 'nonfinite/iter_4'
    assert {path.name for path in kept.iterdir()} == {'rank_0.pth', 'rank_1.pth', 'weights.pth', 'config.py'}
    findings = [torch.load(kept / f'rank_{rank}.pth', weights_only=False)['finding'] for rank in (0, 1)]
    nothing = 'nothing non-finite when it was run once more'
    assert findings == [nothing, f'{FORWARD}layers.1 (Squares); its input is finite']
    (log,) = tmp_path.glob('*/*.log')
    assert f'replay_nonfinite.py {kept} --rank 1' in log.read_text()
