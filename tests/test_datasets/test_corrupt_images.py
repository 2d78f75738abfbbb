"""Images that cannot be read: counted over workers and processes, listed once, and a share that stops the run."""

import os
import types

import pytest
from mmengine.dataset import ConcatDataset
from mmengine.runner import Runner

from mixmae_mm.datasets import ImageFolder, LoadImage
from mixmae_mm.engine.hooks import CorruptImagesHook, corrupt_images


@pytest.fixture
def folder(tmp_path, save_image):
    """Make a folder of so many images, the first of them broken."""

    def make(whole, broken, name='images'):
        for number in range(whole + broken):
            save_image(tmp_path / name / f'{number:03}.png', seed=number, size=(2, 2))
        for number in range(broken):
            (tmp_path / name / f'{number:03}.png').write_text('no pixels')
        return str(tmp_path / name)

    return make


def dataset(root, **settings):
    return ImageFolder(root, pipeline=[LoadImage()], **settings)


def test_workers_share_the_count(folder):
    loader = Runner.build_dataloader(
        dict(
            batch_size=2,
            num_workers=2,
            persistent_workers=True,
            sampler=dict(type='DefaultSampler', shuffle=True),
            collate_fn=dict(type='pseudo_collate'),
            dataset=dataset(folder(9, 5)),
        )
    )
    list(loader)
    assert loader.dataset.corrupt.indices() == [0, 1, 2, 3, 4]


def test_a_small_set_may_have_ten_broken_images(folder):
    images = dataset(folder(3, 10), max_corrupt=0)
    for number in range(13):
        images[number]
    assert len(images.corrupt.indices()) == 10


def test_one_more_stops_the_run(folder):
    images = dataset(folder(2, 11))
    with pytest.raises(ValueError, match=r'^11 of 13 images of .* \(84\.6%\).*10\.0%.*max_corrupt') as error:
        images[0]
    assert '010.png: not an image' in str(error.value)


@pytest.mark.parametrize(('share', 'stops'), [(0.1, True), (0.12, False)])
def test_the_share_is_of_all_images(folder, share, stops):
    images = dataset(folder(88, 12), max_corrupt=share)
    if not stops:
        assert images[0]['img_path'].endswith('012.png')
        return
    with pytest.raises(ValueError, match=r'^11 of 100 images .*\(11\.0%\)'):
        images[0]


def test_a_subset_counts_for_itself(folder):
    images = dataset(folder(3, 2))
    images[0]
    part = images.get_subset([1, 4])
    assert part.corrupt.indices() == []
    assert part[0]['img_path'].endswith('004.png')
    assert (part.corrupt.indices(), images.corrupt.indices()) == ([0], [0, 1])


@pytest.mark.parametrize('share', [-0.1, 1.5])
def test_a_share_lies_between_none_and_all(folder, share):
    with pytest.raises(ValueError, match=f'^max_corrupt is a share of the images, 0 to 1, got {share!r}$'):
        dataset(folder(1, 0), max_corrupt=share)


@pytest.fixture
def runner(folder, tmp_path):
    """What the hook needs of a runner, with two datasets inside of others."""
    inner = [dataset(folder(3, 1, 'one')), dataset(folder(3, 2, 'two'))]
    loader = types.SimpleNamespace(dataset=ConcatDataset(inner))
    warnings = []
    return types.SimpleNamespace(
        work_dir=str(tmp_path),
        iter=0,
        train_dataloader=loader,
        logger=types.SimpleNamespace(warning=warnings.append),
        inner=inner,
        warnings=warnings,
    )


def listed(tmp_path):
    return (tmp_path / 'corrupt.txt').read_text().splitlines()


def test_the_hook_lists_in_the_work_dir_each_once(runner, tmp_path):
    (tmp_path / 'corrupt.txt').write_text('/of/an/older/run\n')
    hook = CorruptImagesHook()
    hook.before_train(runner)
    hook.after_train_epoch(runner)
    assert not (tmp_path / 'corrupt.txt').exists()
    one, two = runner.inner
    one[0], two[1]
    hook.after_train_epoch(runner)
    expected = [f'{one.data_root}/000.png', f'{two.data_root}/001.png']
    assert listed(tmp_path) == expected
    two[0]
    runner.iter = 999
    hook.after_train_iter(runner, 999)
    hook.after_train_epoch(runner)
    assert listed(tmp_path) == [*expected, f'{two.data_root}/000.png']
    assert [text.split()[0] for text in runner.warnings] == ['2', '3']


def test_the_hook_continues_the_list_of_a_resumed_run(runner, tmp_path):
    (tmp_path / 'corrupt.txt').write_text(f'{runner.inner[0].data_root}/000.png\n/of/the/first/part\n')
    runner.iter = 7
    hook = CorruptImagesHook()
    hook.before_train(runner)
    runner.inner[0][0]
    hook.after_train_epoch(runner)
    assert listed(tmp_path) == [f'{runner.inner[0].data_root}/000.png', '/of/the/first/part']


def test_what_other_processes_found_counts(runner, monkeypatch):
    monkeypatch.setattr(corrupt_images, 'all_gather_object', lambda mine: [mine, [2], []])
    runner.inner[1][0]
    CorruptImagesHook().after_train_epoch(runner)
    assert [one.corrupt.indices() for one in runner.inner] == [[2], [0, 1, 2]]


def test_any_name_takes_one_line(tmp_path, runner):
    odd = os.fsdecode(b'/root/\xff a\nb\r')
    runner.inner[0].data_list = [dict(img_path=odd)]
    runner.inner[0].corrupt.flags[0] = True
    for _ in range(2):
        CorruptImagesHook().after_train_epoch(runner)
    assert (tmp_path / 'corrupt.txt').read_bytes() == b'/root/\xff a\\nb\r\n'
