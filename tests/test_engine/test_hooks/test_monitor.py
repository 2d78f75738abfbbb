"""Hooks that monitor a training change nothing of it, and nothing that goes wrong in them ends it."""

import functools
import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from five_bands import READING, color_of, with_five_bands, write_five_bands
from mmengine.registry import DATA_SAMPLERS, MODEL_WRAPPERS
from mmengine.runner import EpochBasedTrainLoop
from monitored_training import ListBackend, make_images, monitored_config
from tiny_mixmae import tiny_mixedae, tiny_model
from torch import nn
from torch.utils.data import BatchSampler, DataLoader
from training_toys import TRAINED, last_checkpoint, run_until, trained_alike

from mixmae_mm.engine.hooks import OnlineEvaluationHook, ReconstructionHook
from mixmae_mm.visualization.image_grid import panel_place

ALIKE = dict.fromkeys(TRAINED, True)
DRAWING = dict(type='mixmae_mm.ReconstructionHook', interval=1, num=2, budget=1.0)
MEASURING = dict(type='mixmae_mm.OnlineEvaluationHook', interval=1, budget=1.0)


@pytest.fixture(autouse=True)
def shown(monkeypatch):
    """What a run shows."""
    monkeypatch.setattr(ListBackend, 'shown', [])
    return ListBackend.shown


def train(folder, *hooks, stop=None, **settings):
    """Train, with an interruption and a second start if asked for; the last checkpoint."""
    config = monitored_config(folder, *hooks, **settings)
    run_until(config, stop)
    if stop:
        run_until(config, resume=True)
    return last_checkpoint(folder / 'work')


@pytest.mark.parametrize('method', ['mixmae', 'mixedae'])
def test_a_monitored_run_ends_as_one_without(tmp_path, shown, method):
    settings = dict(method=tiny_mixedae) if method == 'mixedae' else {}
    plain = train(tmp_path / 'plain', **settings)
    assert not shown
    make_images(tmp_path / 'labeled')
    hooks = DRAWING, MEASURING, dict(MEASURING, data_root=str(tmp_path / 'labeled'))
    monitored = train(tmp_path / 'monitored', *hooks, **settings)
    assert trained_alike(plain, monitored) == ALIKE
    assert [step for name, _, step in shown if name == 'reconstructions'] == [2, 4, 6, 8]
    assert ('homologous_map' in {name for name, *_ in shown}) == (method == 'mixedae')


def test_a_monitored_run_that_is_resumed_ends_as_one_without(tmp_path):
    plain = train(tmp_path / 'plain', seeded=True)
    resumed = train(tmp_path / 'monitored', DRAWING, MEASURING, stop=5, seeded=True)
    assert trained_alike(plain, resumed) == ALIKE


def test_the_same_mixtures_are_drawn_each_time_and_come_out_differently(tmp_path, shown):
    train(tmp_path, DRAWING)
    sheets = [sheet for name, sheet, _ in shown if name == 'reconstructions']
    assert len(sheets) == 4
    assert {sheet.dtype for sheet in sheets} == {np.dtype('uint8')}
    cut = [sheet[28 : 28 + 128, 10:] for sheet in sheets]  # panels of 128 px, 10 apart
    for panel in range(6):
        first, last = (sheet[:, 138 * panel : 138 * panel + 128] for sheet in (cut[0], cut[-1]))
        assert (first == last).all() == (panel < 4)  # originals, mixture, whose cell; then the reconstructions


@pytest.mark.parametrize('method', [tiny_model, tiny_mixedae])
@pytest.mark.parametrize('named', [False, True])
def test_of_channels_the_first_three_are_drawn(tmp_path, shown, method, named):
    files = write_five_bands(tmp_path / 'images', 16)
    hook = dict(DRAWING, images=str(tmp_path / 'images')) if named else DRAWING
    config = monitored_config(tmp_path, hook, method=functools.partial(with_five_bands, method), length=1)
    config.train_dataloader.dataset.update(extensions=['.npy'])
    config.train_dataloader.dataset.pipeline[0] = READING
    run_until(config)
    sheet = next(value for name, value, _ in shown if name == 'reconstructions')
    x, y = panel_place(0, 0, (128, 128))
    assert min(np.abs(sheet[y + 60, x + 60] - color_of(file)).max() for file in files) <= 1
    assert ('homologous_map' in [name for name, *_ in shown]) == (method is tiny_mixedae)


def test_rounds_come_every_interval_and_at_the_end(tmp_path, shown):
    train(tmp_path, dict(DRAWING, interval=2), length=5)
    assert [step for _, _, step in shown] == [4, 8, 10]


def test_an_interval_of_none_looks_never(tmp_path, shown):
    train(tmp_path, dict(DRAWING, interval=0), dict(MEASURING, interval=0), length=1)
    assert not shown
    assert 'Hook:' not in log_of(tmp_path)


def test_a_run_by_iterations_takes_a_passage_through_the_images_for_an_epoch(tmp_path, shown):
    train(tmp_path, dict(DRAWING, interval=2), by_epoch=False, length=9)
    assert [step for _, _, step in shown] == [4, 8, 9]


@pytest.mark.parametrize('sampler', ['InfiniteSampler', 'mixmae_mm.SeededInfiniteSampler', 'DefaultSampler'])
@pytest.mark.parametrize('world', [1, 2, 3])
def test_an_epoch_of_a_run_by_iterations_is_shared_by_all_processes(monkeypatch, sampler, world):
    """Whether the sampler knows its part of the images or runs without end, also below a batch sampler."""
    monkeypatch.setattr('mmengine.dataset.sampler.get_dist_info', lambda: (0, world))
    dataset = [torch.zeros(1)] * 48
    sampler = DATA_SAMPLERS.build(dict(type=sampler, seed=0), default_args=dict(dataset=dataset))
    batches = BatchSampler(sampler, 4, drop_last=False)
    for loader in (DataLoader(dataset, 4, sampler=sampler), DataLoader(dataset, batch_sampler=batches)):
        hook, runner, rounds = ReconstructionHook(interval=2, budget=1.0), fake_runner(nn.Linear(1, 1)), []
        runner.train_loop, runner.world_size, runner.max_iters = SimpleNamespace(dataloader=loader), world, 100
        hook.prepare, hook.monitor = lambda *_: None, lambda runner, model, step, to=rounds: to.append(step)
        hook.before_train(runner)
        for runner.iter in range(50):
            hook.after_train_iter(runner, runner.iter)
        assert rounds == list(range(24 // world, 51, 24 // world))  # 48 images are 12 iterations of one process


def test_numbers_reach_backends_and_hub_and_those_of_labels_are_right(tmp_path, shown):
    make_images(tmp_path / 'labeled')  # dark and bright: any encoder tells them apart
    config = monitored_config(tmp_path, dict(MEASURING, interval=2, data_root=str(tmp_path / 'labeled')))
    runner = run_until(config)
    names = ['rankme', 'feature_std', 'cosine', 'knn_top1', 'probe_top1']
    assert [name for name, *_ in shown] == [f'online/{name}' for name in names] * 2
    assert [step for *_, step in shown] == [4] * 5 + [8] * 5
    last = {name: value for name, value, _ in shown}
    assert last['online/probe_top1'] == 1
    assert 1 <= last['online/rankme'] <= 12  # three quarters of 16 images are learnt from
    for name, value in last.items():
        assert runner.message_hub.get_scalar(name).current() == value


def log_of(folder):
    """What the hooks logged."""
    return next((folder / 'work').glob('*/*.log')).read_text()


def test_a_backend_that_fails_ends_nothing_and_is_given_up_after_three_times(tmp_path, shown, monkeypatch):
    plain = train(tmp_path / 'plain', length=5)
    monkeypatch.setattr(ListBackend, 'failing', ('reconstructions',))
    monitored = train(tmp_path / 'monitored', DRAWING, length=5)
    assert trained_alike(plain, monitored) == ALIKE
    text = log_of(tmp_path / 'monitored')
    assert text.count('ReconstructionHook failed') == 3
    assert text.count('Traceback (most recent call last)') == 1
    assert text.count('OSError: no room for reconstructions') == 3
    assert text.count('given up after 3 failures in a row, training continues without') == 1
    assert not shown


def test_a_hook_that_recovers_continues(tmp_path, shown, monkeypatch):
    rounds, whole = [], ReconstructionHook.monitor

    def sometimes(self, runner, model, step):
        rounds.append(step)
        if len(rounds) % 3:
            raise RuntimeError('not now')
        return whole(self, runner, model, step)

    monkeypatch.setattr(ReconstructionHook, 'monitor', sometimes)
    train(tmp_path, DRAWING, length=7)
    assert len(rounds) == 7
    assert [step for _, _, step in shown] == [6, 12]


@pytest.mark.parametrize(
    ('hook', 'prepare', 'said'),
    [
        (dict(DRAWING, images='nowhere'), None, "data_root 'nowhere' does not exist"),
        (dict(DRAWING, images='{}/broken'), 'broken', 'not an image, whatever its name says'),
        (dict(MEASURING, data_root='nowhere'), None, 'there is no folder nowhere of labeled images'),
        (dict(MEASURING, data_root='{}/one'), 'one', r'holds 1 class folder\(s\): two or more are needed'),
        (dict(DRAWING, num=20), None, None),
    ],
)
def test_images_that_are_not_as_they_should_be_end_nothing(tmp_path, shown, hook, prepare, said):
    if prepare == 'broken':
        (tmp_path / 'broken').mkdir()
        for number in range(4):
            (tmp_path / f'broken/{number}.png').write_text('no image')
    if prepare == 'one':
        make_images(tmp_path / 'one', ('a',))
    hook = {key: value.format(tmp_path) if isinstance(value, str) else value for key, value in hook.items()}
    checkpoint = train(tmp_path, hook, length=2)
    assert checkpoint['meta']['iter'] == 4
    text = log_of(tmp_path)
    if said is None:  # 20 mixtures are wanted, and as many are drawn as there are images for
        assert '8 reconstruction(s) drawn after iteration 4' in text
    else:
        assert text.count('failed (training continues)') == 2
        assert re.search(said, text)


def test_an_interruption_is_the_users_and_ends_the_run(tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(ReconstructionHook, 'monitor', interrupted)
    runner = run_until(monitored_config(tmp_path, DRAWING), interrupt_after=1000)
    assert runner.iter == 2


class Notes(list):
    """A logger that keeps its lines."""

    info = warning = list.append


def fake_runner(model, rank=0):
    loop = EpochBasedTrainLoop.__new__(EpochBasedTrainLoop)
    return SimpleNamespace(model=model, rank=rank, logger=Notes(), train_loop=loop, iter=10, epoch=9)


@MODEL_WRAPPERS.register_module(force=True)
class PartOfAModel(nn.Module):
    """A wrapper of which each process has a part."""


def test_models_shared_out_are_left_alone_and_so_are_all_in_other_processes():
    for runner, said in ((fake_runner(PartOfAModel()), 1), (fake_runner(nn.Linear(1, 1), rank=1), 0)):
        hook = ReconstructionHook()
        hook.monitor = hook.prepare = lambda *_: pytest.fail('looked')
        hook.before_train(runner)
        hook.after_train_epoch(runner)
        hook.after_train(runner)
        assert len(runner.logger) == said
        assert all('stays out: the model is sharded among processes' in line for line in runner.logger)


def test_rounds_without_time_are_left_out_said_once_and_the_last_is_not(monkeypatch):
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr('mixmae_mm.engine.hooks.time_budget.perf_counter', lambda: clock.now)
    hook, rounds, runner = ReconstructionHook(interval=1, budget=0.1), [], fake_runner(nn.Linear(1, 1))

    def monitor(runner, model, step):
        rounds.append(step)
        clock.now += 5
        return 'drawn'

    hook.monitor, hook.prepare = monitor, lambda *_: None
    hook.before_train(runner)
    for epoch in range(9):
        clock.now += 20
        runner.epoch, runner.iter = epoch, 10 * (epoch + 1)
        hook.after_train_epoch(runner)
    runner.iter = 95
    hook.after_train(runner)
    assert rounds == [10, 50, 70, 95]
    assert sum('some are left out' in line for line in runner.logger) == 1
    assert runner.logger[-1] == 'ReconstructionHook: 4 round(s) took 20.00 s, 10.00% of the 200 s of the run'


@pytest.mark.parametrize(
    ('kind', 'settings', 'said'),
    [
        (ReconstructionHook, dict(interval=-1), '^interval must be a whole number, 0 or more, got -1$'),
        (ReconstructionHook, dict(budget=0.0), '^budget is a share of the time, above 0 and up to 1, got 0.0$'),
        (ReconstructionHook, dict(budget='all'), "^budget is a share of the time, above 0 and up to 1, got 'all'$"),
        (ReconstructionHook, dict(seed=-1), '^seed must be a whole number, 0 or more, got -1$'),
        (ReconstructionHook, dict(num=0), '^num must be a whole number, 1 or more, got 0$'),
        (OnlineEvaluationHook, dict(max_images=1), '^max_images must be a whole number, 2 or more, got 1$'),
        (OnlineEvaluationHook, dict(max_labeled=1), '^max_labeled must be a whole number, 2 or more, got 1$'),
        (OnlineEvaluationHook, dict(k=0), '^k must be a whole number, 1 or more, got 0$'),
        (OnlineEvaluationHook, dict(temperature=0.0), '^temperature must be a positive number, got 0.0$'),
    ],
)
def test_settings_that_cannot_be_are_refused_before_training(kind, settings, said):
    with pytest.raises(ValueError, match=said):
        kind(**settings)
