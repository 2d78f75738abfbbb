"""Images that cannot be read: counted over workers and processes, listed once, and a share that stops the run."""

import types
from contextlib import nullcontext

import pytest
from mmengine.dataset import ConcatDataset

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


@pytest.mark.parametrize(
    ('whole', 'broken', 'share', 'message'),
    [
        (3, 10, 0.0, None),
        (2, 11, 0.1, r'^11 of 13 images of .* \(84\.6%\).*10\.0%.*max_corrupt.*010\.png: not an image'),
        (88, 12, 0.12, None),
        (88, 12, 0.1, r'^11 of 100 images .*\(11\.0%\)'),
        (1, 0, 1.5, '^max_corrupt must be a fraction of images, 0 to 1, got 1.5$'),
        (1, 0, -0.1, '^max_corrupt must be a fraction'),
    ],
)
def test_more_than_ten_and_than_a_share_stop_the_run(folder, whole, broken, share, message):
    with pytest.raises(ValueError, match=message) if message else nullcontext():
        images = dataset(folder(whole, broken), max_corrupt=share)
        assert images[0]['img_path'].endswith(f'{broken:03}.png')
        assert images.corrupt.indices() == [*range(broken)]


def test_a_subset_counts_for_itself(folder):
    images = dataset(folder(3, 2))
    images[0]
    part = images.get_subset([1, 4])
    assert part.corrupt.indices() == []
    assert part[0]['img_path'].endswith('004.png')
    assert (part.corrupt.indices(), images.corrupt.indices()) == ([0], [0, 1])


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
