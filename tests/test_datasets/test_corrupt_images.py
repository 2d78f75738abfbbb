"""Images that cannot be read: counted over workers, listed once over processes, and a share that stops the run."""

import copy
import fcntl
import os
import threading
import types
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from mmengine.dataset import ConcatDataset
from mmengine.runner import Runner

from mixmae_mm.datasets import ImageFolder, LoadImage
from mixmae_mm.datasets.corrupt_images import CorruptImageCount, CorruptImageList
from mixmae_mm.engine.hooks import CorruptImagesHook

REASON = 'not an image, whatever its name says'


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


def lines(file):
    return Path(file).read_text().splitlines()


def line(root, number):
    return f'{root}/{number:03}.png\t{REASON}'


def test_workers_list_each_image_once(folder, tmp_path):
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
    images = loader.dataset
    list(loader)  # the workers run before the file is told, and keep to themselves what they met
    images.corrupt.list_in(tmp_path / 'list.txt')
    assert not (tmp_path / 'list.txt').exists()
    for _ in range(2):
        list(loader)
    assert sorted(lines(tmp_path / 'list.txt')) == [line(images.data_root, number) for number in range(5)]


def test_adding_waits_for_who_holds_the_lock(tmp_path, monkeypatch):
    """Another process is in the middle of a line about the same image."""
    file, asked = tmp_path / 'list.txt', threading.Event()
    lock = fcntl.flock

    def note_and_lock(*args):
        asked.set()
        lock(*args)

    monkeypatch.setattr('mixmae_mm.datasets.corrupt_images.fcntl.flock', note_and_lock)
    with ThreadPoolExecutor(1) as pool, open(file, 'ab', buffering=0) as other:
        lock(other, fcntl.LOCK_EX)
        other.write(b'/root/a\tw')
        adding = pool.submit(CorruptImageList(str(file)).add, '/root/a', 'later')
        waits = asked.wait(10)
        other.write(b'hy\n')
        lock(other, fcntl.LOCK_UN)
        adding.result(10)
    assert waits
    assert lines(file) == ['/root/a\twhy']


def test_each_process_adds_what_others_have_not(tmp_path):
    one, other = (CorruptImageList(str(tmp_path / 'list.txt')) for _ in range(2))
    for number in range(6):
        one.add(f'/root/{number}', 'why')
        other.add(f'/root/{number + number % 2}', 'why')
    assert sorted(lines(tmp_path / 'list.txt')) == [f'/root/{number}\twhy' for number in range(7)]


class Counted(set):
    """A set that counts the paths it is asked to go through."""

    steps = 0

    def __iter__(self):
        Counted.steps += len(self)
        return super().__iter__()


@pytest.mark.parametrize('number', [50, 200])
def test_the_time_for_a_list_grows_with_its_length_alone(tmp_path, number):
    count = CorruptImageCount(number)
    count.list_in(str(tmp_path / 'list.txt'))
    count.listed = CorruptImageList(str(tmp_path / 'list.txt'))
    Counted.steps, count.listed.paths = 0, Counted()
    found = [count.note(index, f'/root/{index}', 'why', '/root') for index in range(number)]
    assert found == list(range(1, number + 1))
    assert isinstance(count.listed.paths, Counted)
    assert Counted.steps <= number


def test_a_list_continues_where_a_killed_process_stopped(tmp_path):
    (tmp_path / 'list').write_text('/root/a\twhy\n/root/b\twh')
    resumed = CorruptImageList(str(tmp_path / 'list'))
    resumed.add('/root/a', 'again')
    assert resumed.count('/root') == 1
    resumed.add('/root/c', 'why')
    resumed.add('/root/c', 'why')
    assert lines(tmp_path / 'list') == ['/root/a\twhy', '/root/b\twh', '/root/c\twhy']
    resumed.add('/rootless/d', 'why')
    assert (resumed.count('/root'), resumed.count('/rootless'), resumed.count('/')) == (3, 1, 4)
    assert resumed.first('/root', 2) == ['/root/a: why', '/root/b: wh']


def test_a_list_that_is_begun_anew_is_seen_to_be(tmp_path):
    mine = CorruptImageList(str(tmp_path / 'list'))
    mine.add('/root/a', 'why')
    (tmp_path / 'list').unlink()
    mine.add('/root/a', 'why')
    assert lines(tmp_path / 'list') == ['/root/a\twhy']


def test_any_name_takes_one_line(tmp_path):
    odd = os.fsdecode(b'/root/\xff a\nb\tc')
    CorruptImageList(str(tmp_path / 'list')).add(odd, 'one\ntwo')
    assert (tmp_path / 'list').read_bytes() == b'/root/\xff a\\nb\\tc\tone\\ntwo\n'


def test_a_small_set_may_have_ten_broken_images(folder, tmp_path):
    images = dataset(folder(3, 10), max_corrupt=0)
    for number in range(13):
        images[number]
    assert images.corrupt.flags.sum() == 10


def test_one_more_stops_the_run(folder, tmp_path):
    images = dataset(folder(2, 11))
    images.corrupt.list_in(tmp_path / 'list.txt')
    root = images.data_root
    with pytest.raises(ValueError, match='max_corrupt') as error:
        images[0]
    assert str(error.value).splitlines() == [
        f'11 of 13 images of {root!r} (84.6%) cannot be read, more than the 10.0% that max_corrupt allows; all '
        f'are listed in {tmp_path}/list.txt, the first of them:',
        *(f'  {root}/{number:03}.png: {REASON}' for number in range(3)),
        'Fix or remove them, remove the list and train on with --resume; or set max_corrupt of the dataset higher',
    ]


@pytest.mark.parametrize(('share', 'stops'), [(0.1, True), (0.12, False)])
def test_the_share_is_of_all_images(folder, share, stops):
    images = dataset(folder(88, 12), max_corrupt=share)
    if not stops:
        assert images[0]['img_path'].endswith('012.png')
        return
    with pytest.raises(ValueError, match=r'^11 of 100 images .*\(11\.0%\).*; the last of them:\n.*010\.png'):
        images[0]


def test_what_others_and_earlier_runs_listed_counts(folder, tmp_path):
    root = folder(97, 3)
    others = CorruptImageList(str(tmp_path / 'list.txt'))
    for number in range(8):
        others.add(f'{root}/other/{number}', 'why')
        others.add(f'{root}-of-another-set/{number}', 'why')
    images = dataset(root)
    images.corrupt.list_in(tmp_path / 'list.txt')
    images[1]
    with pytest.raises(ValueError, match='^11 of 100 images'):
        images[0]


def test_a_list_that_cannot_be_written_stops_nothing(folder, tmp_path, monkeypatch):
    texts = []
    monkeypatch.setattr('mixmae_mm.datasets.corrupt_images.print_log', lambda text, **_: texts.append(text))
    images = dataset(folder(3, 1))
    images.corrupt.list_in(tmp_path / 'missing/list.txt')
    assert images[0]['img_path'].endswith('001.png')
    assert texts == [f'corrupt images cannot be listed in {tmp_path}/missing/list.txt: No such file or directory']
    assert images.corrupt.note(1, f'{images.data_root}/001.png', 'why', images.data_root) == 2


def test_a_subset_counts_for_itself(folder):
    images = dataset(folder(3, 2))
    images[0]
    part = images.get_subset([1, 4])
    assert not part.corrupt.flags.any()
    assert part[0]['img_path'].endswith('004.png')
    assert (part.corrupt.flags.tolist()[:2], images.corrupt.flags.sum()) == ([True, False], 2)


@pytest.mark.parametrize('share', [-0.1, 1.5, 'x'])
def test_a_share_lies_between_none_and_all(folder, share):
    with pytest.raises(ValueError, match=f'^max_corrupt is a share of the images, 0 to 1, got {share!r}$'):
        dataset(folder(1, 0), max_corrupt=share)


def test_a_number_of_images_in_a_row(folder):
    with pytest.raises(ValueError, match='^max_refetch must be a whole number, 1 or more, got None$'):
        dataset(folder(1, 0), max_refetch=None)


def test_a_path_that_is_too_long():
    with pytest.raises(ValueError, match='^a path of 5001 bytes is too long, 4095 are allowed: /aaa'):
        CorruptImageCount(1).list_in('/' + 'a' * 5000)
    count = CorruptImageCount(1)
    count.list_in('/a/longer/path')
    count.list_in('/short')
    assert copy.copy(count).file == '/short'


class RepeatWhole:
    """A wrapper as mmengine's: it holds another as `dataset`."""

    def __init__(self, dataset):
        self.dataset = dataset


@pytest.fixture
def runner(folder, tmp_path):
    """What the hook needs of a runner, with two datasets inside of others."""
    inner = [dataset(folder(3, 1, 'one')), dataset(folder(3, 2, 'two'))]
    loader = types.SimpleNamespace(dataset=RepeatWhole(ConcatDataset(inner)))
    warnings = []
    logger = types.SimpleNamespace(warning=warnings.append)
    return types.SimpleNamespace(
        work_dir=str(tmp_path), iter=0, train_dataloader=loader, logger=logger, inner=inner, warnings=warnings
    )


def test_the_hook_lists_in_the_work_folder(runner, tmp_path):
    (tmp_path / 'corrupt.txt').write_text('/of/an/older/run\twhy\n')
    hook = CorruptImagesHook()
    hook.before_train(runner)
    hook.before_train_epoch(runner)
    hook.after_train(runner)
    assert not (tmp_path / 'corrupt.txt').exists()
    assert runner.warnings == []
    one, two = runner.inner
    one[0], two[0]
    expected = [line(one.data_root, 0), line(two.data_root, 0), line(two.data_root, 1)]
    assert lines(tmp_path / 'corrupt.txt') == expected
    hook.after_train(runner)
    assert runner.warnings == [f'3 corrupt images skipped; all are listed in {tmp_path}/corrupt.txt']


def test_the_hook_continues_the_list_of_a_resumed_run(runner, tmp_path):
    (tmp_path / 'corrupt.txt').write_text(f'{line(runner.inner[0].data_root, 0)}\n')
    runner.iter = 7
    hook = CorruptImagesHook()
    hook.before_train(runner)
    hook.before_train_epoch(runner)
    runner.inner[0][0]
    hook.after_train(runner)
    assert runner.warnings == [f'1 corrupt image skipped; all are listed in {tmp_path}/corrupt.txt']
