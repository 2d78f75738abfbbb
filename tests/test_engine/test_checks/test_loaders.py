"""Loaders without images are rejected; broken images are skipped in training and left out of validation."""

import uuid

import numpy as np
import pytest
import torch
from mmcv.transforms import TRANSFORMS, BaseTransform
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import MODELS
from mmengine.runner import Runner
from PIL import Image
from torch import nn

from mixmae_mm.engine.checks import open_loaders
from mixmae_mm.engine.checks.loaders import needs_two_images

pytest.importorskip('mmpretrain', reason='named in configs, not needed by the package')


@MODELS.register_module()
class Bright(BaseModel):
    """Predicts class 1 for bright images; its norm gets one value per channel and image."""

    def __init__(self, **settings):
        super().__init__(data_preprocessor=dict(type='mmpretrain.ClsDataPreprocessor'))
        self.norm = nn.BatchNorm1d(3)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        means = inputs.float().mean((2, 3))
        if mode == 'loss':
            return dict(loss=self.norm(means).sum())
        scores = torch.eye(2)[(means.mean(1) > 127).long()]
        return [sample.set_pred_score(score) for sample, score in zip(data_samples, scores, strict=True)]


def write(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((8, 8, 3), value, np.uint8)).save(path)


@pytest.fixture
def folder(tmp_path):
    """Write eight images: three dark and one bright of class 0, four bright of class 1."""
    for number, value in enumerate((0, 0, 0, 200)):
        write(tmp_path / f'images/no/{number}.png', value)
        write(tmp_path / f'images/yes/{number}.png', 255)
    return tmp_path / 'images'


def break_file(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def loader(folder, batch_size, **settings):
    pipeline = [dict(type='mixmae_mm.LoadImage'), dict(type='mmpretrain.PackInputs')]
    dataset = dict(type='mmpretrain.CustomDataset', data_root=str(folder), pipeline=pipeline)
    dataset |= settings.pop('dataset', {})
    own = dict(
        batch_size=batch_size,
        num_workers=0,
        dataset=dataset,
        sampler=dict(type='DefaultSampler', shuffle=False),
        collate_fn=dict(type='default_collate'),
    )
    return own | settings


@pytest.fixture
def run(tmp_path, folder):
    """Return a function that makes a runner, opens its loaders, trains for an epoch and validates."""

    def start(train=None, val=None, start=True):
        config = Config(
            dict(
                default_scope='mmpretrain',
                work_dir=str(tmp_path / 'work'),
                experiment_name=uuid.uuid4().hex,
                model=dict(type='Bright', num_classes=2),
                train_dataloader=loader(folder, **(dict(batch_size=4) | (train or {}))),
                val_dataloader=loader(folder, **(dict(batch_size=3) | (val or {}))),
                val_evaluator=dict(type='Accuracy'),
                train_cfg=dict(by_epoch=True, max_epochs=1),
                val_cfg=dict(),
                optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.0)),
                default_hooks=dict(checkpoint=None, corrupt=dict(type='mixmae_mm.CorruptImagesHook')),
                log_level='WARNING',
            )
        )
        runner = Runner.from_cfg(config)
        open_loaders(runner, 'train', 'val')
        if start:
            runner.train()
        return runner

    return start


def listed(tmp_path):
    path = tmp_path / 'work/corrupt.txt'
    return path.read_text().splitlines() if path.exists() else []


@pytest.mark.parametrize(
    ('broken', 'expected'),
    [([], 7 / 8), (['no/0'], 6 / 7), (['no/3'], 7 / 7), (['no/3', 'yes/0', 'yes/1'], 5 / 5), (['yes/3'], 6 / 7)],
    ids=['none', 'right', 'wrong', 'a whole batch', 'the last'],
)
def test_broken_images_are_left_out_of_the_metric_and_counted_beside_it(run, folder, tmp_path, broken, expected):
    for name in broken:
        break_file(folder / f'{name}.png')
    runner = run(train=dict(dataset=dict(indices=[1, 2, 6, 4] if 'yes/0' not in broken else [1, 2, 6, 7])))
    scalar = runner.message_hub.get_scalar
    assert scalar('val/accuracy/top1').current() == pytest.approx(100 * expected)
    assert not broken or scalar('val/left_out').current() == len(broken)
    assert sorted(listed(tmp_path)) == sorted(f'{folder}/{name}.png' for name in broken)


def test_broken_images_are_skipped_in_training(run, folder, tmp_path):
    break_file(folder / 'no/1.png')
    seen = []
    runner = run(start=False, val=dict(dataset=dict(indices=[0])))
    runner.model.register_forward_pre_hook(
        lambda model, args, kwargs: seen.append(kwargs['inputs'].shape[0]) if kwargs['mode'] == 'loss' else None,
        with_kwargs=True,
    )
    runner.train()
    assert seen == [4, 4]
    assert listed(tmp_path) == [f'{folder}/no/1.png']


def test_nothing_but_broken_images(run, folder):
    for path in folder.rglob('*.png'):
        break_file(path)
    with pytest.raises(ValueError, match='none of the 8 samples can be read'):
        run()


@pytest.mark.parametrize(('split', 'workers'), [('train', 0), ('train', 1), ('val', 0)])
def test_too_many_broken_images_stop_the_run_and_are_listed(run, folder, tmp_path, split, workers):
    for number in range(30):
        write(folder / f'yes/{number}.png', 255)
        if number < 11:
            break_file(folder / f'yes/{number}.png')
    other = {'train': 'val', 'val': 'train'}[split]
    with pytest.raises(ValueError, match=r'11 of 34 images .* \(32\.4%\)(.|\n)*corrupt\.txt'):
        run(**{split: dict(num_workers=workers), other: dict(dataset=dict(indices=[0, 1]), batch_size=2)})
    assert listed(tmp_path) == sorted(f'{folder}/yes/{number}.png' for number in range(11))


@TRANSFORMS.register_module()
class RaiseKeyError(BaseTransform):
    """A fault of the pipeline, not of a file."""

    def transform(self, results):
        raise KeyError('of the pipeline')


def test_what_is_no_fault_of_a_file_ends_the_run(run):
    pipeline = [dict(type='mixmae_mm.LoadImage'), dict(type='RaiseKeyError'), dict(type='mmpretrain.PackInputs')]
    with pytest.raises(KeyError, match='of the pipeline'):
        run(train=dict(dataset=dict(pipeline=pipeline)))


EMPTY = {
    'extensions': (dict(dataset=dict(extensions=['.jpg'])), ["extensions=('.jpg',)", '8 .png']),
    'filter': (dict(dataset=dict(indices=0)), ['indices=0 keeps none of 8 images']),
    'one beyond': (dict(dataset=dict(indices=range(0, 9, 4))), ['indices has 8, but there are 8 images']),
    'one before': (dict(dataset=dict(indices=[0, -9])), ['indices has -9, but there are 8 images']),
    'batch': (dict(batch_size=9, drop_last=True), ['8 images', 'batch of 9', 'batch_size=...']),
    'single last one': (dict(batch_size=7), ['the last batch is a single image', 'drop_last=True']),
    'single ones': (dict(batch_size=1), ['batches are of a single image', 'batch_size']),
    'files': (
        dict(dataset=dict(data_prefix='other', ann_file='list.txt')),
        ['none of the 2 expected files', 'data_prefix'],
    ),
    'no folder': (dict(dataset=dict(data_root='/nowhere')), ['No such file', '/nowhere', 'data_root']),
    'no list': (
        dict(dataset=dict(ann_file='nowhere.txt', data_prefix='')),
        ['No such file', 'nowhere.txt', 'ann_file'],
    ),
    'torn list': (
        dict(dataset=dict(type='mmpretrain.BaseDataset', ann_file='torn.json', data_prefix='')),
        ['Expecting value', 'ann_file=torn.json'],
    ),
}


@pytest.mark.parametrize(
    ('split', 'case'),  # batch norm takes any batch in validation
    [('train', case) for case in EMPTY] + [('val', case) for case in EMPTY if not case.startswith('single')],
)
def test_loaders_that_give_nothing_are_refused(run, folder, case, split):
    settings, words = EMPTY[case]
    (folder / 'list.txt').write_text('no/0.png 0\nyes/0.png 1\n')
    (folder / 'torn.json').write_text('{"metainfo": {}, "data_list": [')
    with pytest.raises(ValueError, match=f'^({split}_dataloader|8 images|the last batch|batches are)') as error:
        run(**{split: settings}, start=False)
    assert all(word in str(error.value) for word in words), error.value


def test_a_single_last_image_may_be_dropped(run):
    assert len(run(train=dict(batch_size=7, drop_last=True), start=False).train_dataloader) == 1


def test_hidden_folders_give_no_class(run, folder):
    write(folder / '.ipynb_checkpoints/0.png', 0)
    write(folder / '@eaDir/0.png', 0)
    dataset = run(start=False).train_dataloader.dataset
    assert (dataset.CLASSES, len(dataset)) == (('no', 'yes'), 8)


class Sorted(torch.utils.data.BatchSampler):
    """Batches of either even or odd indices, like mmdet's of either wide or tall images."""

    def __iter__(self):
        for parity in (0, 1):
            part = [index for index in self.sampler if index % 2 == parity]
            starts = range(0, len(part) - self.batch_size + 1, self.batch_size)
            yield from (part[start : start + self.batch_size] for start in starts)


def test_sorted_batches_of_which_none_is_full(run, folder):
    from mmengine.registry import DATA_SAMPLERS

    DATA_SAMPLERS.register_module(module=Sorted, force=True)
    run(train=dict(batch_sampler=dict(type='Sorted', drop_last=True)), start=False)
    with pytest.raises(ValueError, match='do not fill one batch of 5 .* in Sorted'):
        run(train=dict(batch_size=5, batch_sampler=dict(type='Sorted', drop_last=True)), start=False)


def test_norms_that_a_single_image_does_not_do_for():
    def pooled(size):
        return nn.Sequential(nn.AdaptiveAvgPool2d(size), nn.Sequential(nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2)))

    for model in (pooled(1), pooled((1, 1)), pooled(2), nn.Sequential(nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2))):
        try:
            model(torch.randn(1, 2, 4, 4))
            fails = False
        except ValueError:
            fails = True
        assert needs_two_images(model) == fails
