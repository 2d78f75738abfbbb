"""Monitoring hooks change nothing of a training, and their errors do not end it."""

import functools
import json
import math
import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from five_channels import READING, color_of, with_five_channels, write_five_channels
from mmengine.registry import DATA_SAMPLERS, MODEL_WRAPPERS
from monitored_training import ListBackend, make_images, monitored_config
from PIL import Image
from tiny_mixmae import build, tiny_mixedae, tiny_model
from torch import nn
from torch.utils.data import BatchSampler, DataLoader
from training_toys import TRAINED, last_checkpoint, run_until, trained_alike

from mixmae_mm import evaluation
from mixmae_mm.datasets.image_reader import IMAGENET
from mixmae_mm.engine.hooks import OnlineEvaluationHook, ReconstructionHook, monitor
from mixmae_mm.evaluation import split_masked
from mixmae_mm.visualization.image_grid import panel_place

ALIKE = dict.fromkeys(TRAINED, True)
DRAWING = dict(type='mixmae_mm.ReconstructionHook', interval=1, num=2)
MEASURING = dict(type='mixmae_mm.OnlineEvaluationHook', interval=1)


@pytest.fixture(autouse=True)
def shown(monkeypatch):
    """Return what a run draws and logs, empty at first."""
    monkeypatch.setattr(ListBackend, 'shown', [])
    return ListBackend.shown


def train(folder, *hooks, stop=None, **settings):
    """Train, interrupted and resumed if `stop` is given, and return the last checkpoint."""
    config = monitored_config(folder, *hooks, **settings)
    run_until(config, stop)
    if stop:
        run_until(config, resume=True)
    return last_checkpoint(folder / 'work')


def log_of(folder):
    return next((folder / 'work').glob('*/*.log')).read_text()


@pytest.mark.parametrize('method', [tiny_model, tiny_mixedae])
def test_a_monitored_run_ends_as_one_without(tmp_path, shown, method):
    plain = train(tmp_path / 'plain', method=method)
    assert not shown
    labeled = dict(MEASURING, data_root=make_images(tmp_path / 'labeled'))
    monitored = train(tmp_path / 'monitored', DRAWING, MEASURING, labeled, method=method)
    assert trained_alike(plain, monitored) == ALIKE
    assert ('homologous_map' in {name for name, *_ in shown}) == (method is tiny_mixedae)
    grids = [grid for name, grid, _ in shown if name == 'reconstructions']
    assert [step for name, _, step in shown if name == 'reconstructions'] == [2, 4, 6, 8]
    if method is tiny_model:  # the same mixtures each time, which come out differently
        cut = [grid[28 : 28 + 128, 10:] for grid in grids]  # panels of 128 px, 10 apart
        for panel in range(6):
            first, last = (grid[:, 138 * panel : 138 * panel + 128] for grid in (cut[0], cut[-1]))
            assert (first == last).all() == (panel < 4)  # originals, mixture, whose cell; then the reconstructions


def test_a_monitored_run_that_is_resumed_ends_as_one_without(tmp_path):
    plain = train(tmp_path / 'plain', seeded=True)
    resumed = train(tmp_path / 'monitored', DRAWING, MEASURING, stop=5, seeded=True)
    assert trained_alike(plain, resumed) == ALIKE


@pytest.mark.parametrize('named', [False, True])
def test_of_channels_the_first_three_are_drawn(tmp_path, shown, named):
    files = write_five_channels(tmp_path / 'images', 16)
    hook = dict(DRAWING, images=str(tmp_path / 'images')) if named else DRAWING
    config = monitored_config(tmp_path, hook, method=functools.partial(with_five_channels, tiny_mixedae), length=1)
    config.train_dataloader.dataset.update(extensions=['.npy'])
    config.train_dataloader.dataset.pipeline[0] = READING
    run_until(config)
    (_, grid, _), (name, *_) = shown
    x, y = panel_place(0, 0, (128, 128))
    assert min(np.abs(grid[y + 60, x + 60] - color_of(file)).max() for file in files) <= 1
    assert name == 'homologous_map'


@pytest.mark.parametrize(
    ('interval', 'settings', 'steps'),
    [
        (2, dict(length=5), [4, 8, 10]),  # and at the end
        (0, dict(length=1), []),
        (2, dict(by_epoch=False, length=9), [4, 8, 9]),  # a passage through the images is an epoch
    ],
)
def test_rounds_come_every_interval_and_at_the_end(tmp_path, shown, interval, settings, steps):
    train(tmp_path, dict(DRAWING, interval=interval), **settings)
    assert [step for _, _, step in shown] == steps


@pytest.mark.parametrize('sampler', ['InfiniteSampler', 'mixmae_mm.SeededInfiniteSampler', 'DefaultSampler'])
@pytest.mark.parametrize('world', [1, 3])
def test_an_epoch_of_a_run_by_iterations_is_shared_by_all_processes(monkeypatch, sampler, world):
    """For samplers with an end and infinite ones, also inside a batch sampler."""
    monkeypatch.setattr('mmengine.dataset.sampler.get_dist_info', lambda: (0, world))
    dataset = [torch.zeros(1)] * 48
    sampler = DATA_SAMPLERS.build(dict(type=sampler, seed=0), default_args=dict(dataset=dataset))
    batches = BatchSampler(sampler, 4, drop_last=False)
    for loader in (DataLoader(dataset, 4, sampler=sampler), DataLoader(dataset, batch_sampler=batches)):
        hook, rounds = ReconstructionHook(interval=2), []
        runner = SimpleNamespace(
            train_loop=SimpleNamespace(dataloader=loader), world_size=world, rank=0, model=nn.Linear(1, 1)
        )
        hook._take_turn = lambda runner, step, to=rounds: to.append(step)
        for runner.iter in range(50):
            hook.after_train_iter(runner, runner.iter)
        epoch = math.ceil(48 / (4 * world))
        assert rounds == list(range(2 * epoch, 51, 2 * epoch))


def test_numbers_reach_backends_and_hub_and_those_of_labels_are_right(tmp_path, shown):
    labeled = make_images(tmp_path / 'labeled')  # dark and bright: any encoder tells them apart
    config = monitored_config(tmp_path, dict(MEASURING, interval=2, data_root=labeled))
    runner = run_until(config)
    names = ['rankme', 'feature_std', 'cosine', 'knn_top1', 'probe_top1']
    assert [name for name, *_ in shown] == [f'online/{name}' for name in names] * 2
    assert [step for *_, step in shown] == [4] * 5 + [8] * 5
    last = {name: value for name, value, _ in shown}
    assert last['online/probe_top1'] == 1
    assert 1 <= last['online/rankme'] <= 12  # three quarters of 16 images are learned from
    for name, value in last.items():
        assert runner.message_hub.get_scalar(name).current() == value


def make_scenes(folder, splits=('.',)):
    """Write images that are dark above an edge and bright below, with matching masks, whose first row is ignored."""
    for split in splits:
        for number in range(8):
            labels = np.repeat(np.arange(32) >= 8 * (1 + number % 3), 32).reshape(32, 32).astype(np.uint8)
            pixels = np.stack([40 + 160 * labels, 30 + 10 * labels, 0 * labels], axis=2)
            labels[0] = 9
            for kind, values, name in (('images', pixels, 'x.png'), ('masks', labels, 'y.png')):
                (folder / kind / split).mkdir(parents=True, exist_ok=True)
                Image.fromarray(values.astype(np.uint8)).save(folder / kind / split / f'{number}{name}')
    suffixes = dict(img_suffix='x.png', seg_map_suffix='y.png', ignore_index=9)
    return dict(images=str(folder / 'images'), masks=str(folder / 'masks'), **suffixes)


@pytest.mark.parametrize('method', [tiny_model, tiny_mixedae])
def test_masks_give_the_miou_of_frozen_patches(tmp_path, shown, method):
    plain = train(tmp_path / 'plain', length=2, method=method)
    scenes = make_scenes(tmp_path / 'scenes')
    monitored = train(tmp_path / 'work', dict(MEASURING, segmentation=scenes), length=2, method=method)
    assert trained_alike(plain, monitored) == ALIKE
    found = {step: value for name, value, step in shown if name == 'online/seg_miou'}
    assert found.keys() == {2, 4}
    assert 0.8 < found[4] <= 1
    assert re.search(r'cosine \S+, seg_miou \S+ after iteration 4', log_of(tmp_path / 'work'))


@pytest.mark.parametrize('backwards', [False, True])
def test_scenes_reach_the_encoder_in_the_order_of_its_channels(tmp_path, monkeypatch, backwards):
    model, seen = build(bgr_to_rgb=backwards), []
    runner = SimpleNamespace(cfg=monitored_config(tmp_path))
    scores = dict(ridge=SimpleNamespace(miou=0.5))
    monkeypatch.setattr(evaluation, 'evaluate_dense', lambda *given: seen.extend(given) or scores)
    hook = OnlineEvaluationHook(segmentation=make_scenes(tmp_path / 'scenes'))
    hook.find(runner)
    assert hook._segment(runner, model) == 0.5
    encode, (images, labels) = seen[0], next(seen[1])
    kept = hook.scenes[0][0][1]
    assert kept.nbytes == len(images) * 32 * 32  # a byte for each pixel
    assert torch.equal(labels, kept.long())
    assert images[:, 0].max() == 200  # the first channel of files is red
    mean, std = (torch.tensor(IMAGENET[name]).view(3, 1, 1) for name in ('mean', 'std'))
    with torch.no_grad():
        torch.testing.assert_close(encode(images)[0], model.backbone((images.float() - mean) / std)[-1])


def test_scenes_are_split_as_labeled_images_are(tmp_path):
    folders = make_scenes(tmp_path, ('train', 'val'))
    folders.pop('ignore_index')
    parts = split_masked(**folders, extensions=None, max_images=8, seed=0)
    assert [len(part) for part in parts] == [6, 2]
    assert all('/train/' in image and '/train/' in mask for image, mask in parts[0].items())
    assert all('/val/' in image and '/val/' in mask for image, mask in parts[1].items())
    for kind in ('images', 'masks'):
        folders[kind] = f'{folders[kind]}/train'
    known, asked = split_masked(**folders, extensions=None, max_images=100, seed=0)
    assert (len(known), len(asked), len(known | asked)) == (6, 2, 8)


def test_a_backend_that_fails_ends_nothing(tmp_path, shown, monkeypatch):
    plain = train(tmp_path / 'plain', length=2)
    monkeypatch.setattr(ListBackend, 'failing', ('reconstructions',))
    monitored = train(tmp_path / 'monitored', DRAWING, MEASURING, length=2)
    assert trained_alike(plain, monitored) == ALIKE
    text = log_of(tmp_path / 'monitored')
    assert text.count('ReconstructionHook failed after iteration') == 2
    assert text.count('OSError: no room for reconstructions') == 2
    assert [step for name, _, step in shown if name == 'online/rankme'] == [2, 4]


@pytest.mark.parametrize(
    ('hook', 'said'),
    [
        (dict(DRAWING, images='{}/broken'), 'not an image, whatever its name says'),
        (dict(DRAWING, num=20), 'ReconstructionHook: 8 reconstruction.s. drawn after iteration 4'),  # all there are
    ],
)
def test_images_that_are_not_as_they_should_be_end_nothing(tmp_path, hook, said):
    (tmp_path / 'broken').mkdir()
    for number in range(4):
        (tmp_path / f'broken/{number}.png').write_text('no image')
    assert train(tmp_path, placed(hook, tmp_path), length=2)['meta']['iter'] == 4
    assert re.search(said, log_of(tmp_path))


@pytest.mark.parametrize(
    ('hook', 'said'),
    [
        (dict(DRAWING, images='nowhere'), "data_root 'nowhere' does not exist"),
        (dict(DRAWING, images='{}/one/a/0.png'), r'1 image\(s\) for mixtures of 2'),
        (dict(MEASURING, data_root='{}/gone'), 'there is no folder {}/gone of labeled images'),
        (dict(MEASURING, data_root='{}/one'), r'{}/one holds 1 class folder\(s\): two or more are needed'),
        (dict(MEASURING, segmentation=dict(images='{}/one', masks='{}/one/a')), '16 of 16 images have no mask'),
        (dict(MEASURING, segmentation=dict(images='{}/one')), "missing 1 required positional argument: 'masks'"),
    ],
)
def test_images_that_cannot_be_found_are_refused_before_training(tmp_path, hook, said):
    make_images(tmp_path / 'one', ('a',))
    with pytest.raises(ValueError, match=f'^{hook["type"].rpartition(".")[2]}: .*{said.format(tmp_path)}'):
        train(tmp_path / 'work', placed(hook, tmp_path), length=2)
    assert not list((tmp_path / 'work').glob('*.pth'))


def test_all_processes_end_where_the_first_does_not_find_images(monkeypatch):
    monkeypatch.setattr(monitor, 'broadcast_object_list', lambda said: said.__setitem__(0, 'there is no folder'))
    with pytest.raises(ValueError, match='^there is no folder$'):
        ReconstructionHook().before_train(SimpleNamespace(model=nn.Linear(1, 1), rank=1))


def placed(hook, root):
    """A hook's settings, whose paths are below a folder."""
    return json.loads(json.dumps(hook).replace('{}', str(root)))


@MODEL_WRAPPERS.register_module(force=True)
class PartOfAModel(nn.Module):
    """A wrapper of a model that is sharded across processes."""


@pytest.mark.parametrize(('model', 'rank', 'said'), [(PartOfAModel(), 0, 1), (nn.Linear(1, 1), 1, 0)])
def test_sharded_models_are_left_alone_and_so_are_all_in_other_processes(model, rank, said):
    lines = []
    runner = SimpleNamespace(model=model, rank=rank, logger=SimpleNamespace(info=lines.append), iter=10)
    hook = ReconstructionHook()
    hook.monitor = lambda *_: pytest.fail('looked')
    hook.before_train(runner)
    hook.after_train(runner)
    assert lines == ['ReconstructionHook is disabled: the model is sharded across processes'] * said
