"""The listing of a folder's images, its file, and when that is not believed."""

import copy
import multiprocessing
import os
import pickle
import random
import re
import shutil
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from forked import CONTEXT, ensure_server

from mixmae_mm.datasets import ImageFolder, array_file, directory_walk, file_list
from mixmae_mm.datasets.directory_walk import EXTENSIONS
from mixmae_mm.datasets.file_list import cache_file, list_anew, list_images

TICK = 0.03  # seconds, well over a tick of the clock that folders are stamped by
FILES = [
    *('b.jpg', 'a.PNG', 'B.jpg', 'two.dots.jpeg', 'no_extension', 'dot.', 'a.jpg.txt', '.hidden.jpg', 'ä ö.tif'),
    *('c/d/e.webp', 'c/d/x.bmp/inside.jpg', 'c/a.bmp', 'c/line\nfeed.jpg', '.hidden/a.jpg', 'd/readme.md', 'z/z/z.pgm'),
    os.fsdecode(b'c/\xff\xfe.jpg'),
    os.fsdecode(b'\xe9t\xe9/a.jpg'),
]

LEFT = '(what was there before is left as it was)'


@pytest.fixture(autouse=True)
def small_folders_count(monkeypatch):
    monkeypatch.setattr(file_list, 'KEPT_FROM', 1)
    monkeypatch.setattr(directory_walk, 'SETTLED', TICK)
    file_list._warn_once.cache_clear()


@pytest.fixture
def log(monkeypatch):
    texts = []
    monkeypatch.setattr(file_list, 'print_log', lambda text, **_: texts.append(text))
    return texts


@pytest.fixture
def cache(tmp_path):
    return str(tmp_path / 'cache')


@pytest.fixture
def root(tmp_path):
    """A folder with links: to a folder elsewhere, back up, twice to one folder, to a file, and to nothing yet."""
    root = tmp_path / 'images'
    for path in [*(root / name for name in FILES), tmp_path / 'elsewhere/deep/linked.jpg', tmp_path / 'later/one.jpg']:
        touch(path)
    os.symlink(tmp_path / 'elsewhere', root / 'm')
    os.symlink(tmp_path / 'elsewhere', root / 'n')
    os.symlink(root, root / 'c' / 'up')
    os.symlink(root / 'b.jpg', root / 'q.jpg')
    os.symlink(tmp_path / 'mounted', root / 'p')
    os.symlink(root / 'c', tmp_path / 'hop')
    os.symlink(tmp_path / 'hop', root / 's')
    time.sleep(2 * TICK)
    return str(root)


def touch(path):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_bytes(b'')


def plainly(folder, entered):
    """List images the way it is specified: sorted folder by folder, links followed once."""
    if os.path.realpath(folder) in entered:
        return []
    entered.append(os.path.realpath(folder))
    found = []
    for name in sorted(name for name in os.listdir(folder) if not name.startswith('.')):
        path = os.path.join(folder, name)
        if os.path.isdir(path):
            found += plainly(path, entered)
        elif os.path.splitext(path)[1].lower() in EXTENSIONS:
            found.append(path)
    return found


def paths(images):
    return [image['img_path'] for image in images]


def state(log):
    """Tell from the last line where the listing came from."""
    return 'cached' if 'from the listing cached in' in log[-1] else 'anew' if ', listed in ' in log[-1] else log[-1]


def test_the_order_and_the_names_are_those_of_plain_loops_listed_anew_kept_and_taken_again(root, cache, log):
    expected = plainly(root, [])
    assert len(expected) == 14
    assert paths(list_anew(root)[0]) == expected
    assert paths(list_images(root, cache)) == expected
    assert paths(list_images(root, cache)) == expected
    assert [line.partition(' below')[0] for line in log] == ['14 images'] * 2
    assert state(log) == 'cached'
    assert all(os.path.exists(path) for path in expected)


@pytest.mark.parametrize('spelled', ['{}/', './images', 'images', '../{name}/images'])
def test_paths_start_as_the_folder_was_spelled(root, cache, log, spelled, monkeypatch):
    monkeypatch.chdir(Path(root).parent)
    list_images(root, cache)
    spelled = spelled.format(root, name=Path(root).parent.name)
    assert paths(list_images(spelled, cache)) == paths(list_anew(spelled)[0]) == plainly(spelled, [])
    assert state(log) == 'cached'


CHANGES = {
    'add': lambda root: touch(root / 'new.jpg'),
    'add deep down': lambda root: touch(root / 'c/d/new.jpg'),
    'add to a folder without images': lambda root: touch(root / 'd/new.jpg'),
    'remove': lambda root: os.remove(root / 'c/a.bmp'),
    'rename': lambda root: os.rename(root / 'c/d/e.webp', root / 'c/d/f.webp'),
    'hide': lambda root: os.rename(root / 'b.jpg', root / '.b.jpg'),
    'add to a linked folder': lambda root: touch(root / 'm/deep/new.jpg'),
    'remove from a linked folder': lambda root: os.remove(root / 'm/deep/linked.jpg'),
    'new folder': lambda root: touch(root / 'y/new.jpg'),
    'rename a folder': lambda root: os.rename(root / 'z/z', root / 'z/y'),
    'remove a folder': lambda root: shutil.rmtree(root / 'z'),
    'replace a folder': lambda root: (shutil.rmtree(root / 'z/z'), os.rename(root / 'c/d', root / 'z/z')),
    'folder becomes file': lambda root: (shutil.rmtree(root / 'z/z'), touch(root / 'z/z')),
    'another target': lambda root: (os.remove(root / 'm'), os.symlink(root.parent / 'later', root / 'm')),
    'a link to a link led nowhere new, and does now': lambda root: (
        os.remove(root.parent / 'hop'),
        os.symlink(root.parent / 'later', root.parent / 'hop'),
    ),
    'a disk is mounted where a link leads': lambda root: os.rename(root.parent / 'later', root.parent / 'mounted'),
    "replace a link's target": lambda root: (
        os.rename(root.parent / 'elsewhere', root.parent / 'gone'),
        os.rename(root.parent / 'later', root.parent / 'elsewhere'),
    ),
    'add, and set the time back': lambda root: keep_time(root / 'c', lambda: touch(root / 'c/new.jpg')),
}


def keep_time(folder, change):
    before = os.stat(folder)
    change()
    os.utime(folder, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert os.stat(folder).st_mtime_ns == before.st_mtime_ns


@pytest.mark.parametrize('change', CHANGES)
def test_a_change_in_any_folder_is_seen(root, cache, log, change):
    before = paths(list_images(root, cache))
    CHANGES[change](Path(root))
    time.sleep(2 * TICK)
    after = paths(list_images(root, cache))
    assert state(log) == 'anew'
    assert after == plainly(root, [])
    assert after != before
    assert paths(list_images(root, cache)) == after
    assert state(log) == 'cached'


def test_the_log_says_how_many_folders_changed_and_the_first(root, cache, log):
    list_images(root, cache)
    touch(f'{root}/z/z/new.jpg')
    touch(f'{root}/d/new.jpg')
    list_images(root, cache)
    file = cache_file(root, cache)
    assert re.fullmatch(rf'14 images below {re.escape(root)} \(.*\), listed in \d+\.\d s', log[0])
    count = len(list_anew(root)[1])
    assert log[1] == (
        f'the listing of {root} cached in {file} is stale: {root}/d has changed (2 of {count} folders); listing anew'
    )
    assert log[2].startswith(f'16 images below {root} (')


def test_the_log_names_the_file_that_a_listing_was_taken_from(root, cache, log):
    list_images(root, cache)
    list_images(root, cache)
    file = cache_file(root, cache)
    assert os.path.dirname(file) == cache
    assert log[1].startswith(f'14 images below {root} (')
    assert log[1].endswith(f'), from the listing cached in {file} (remove it to list anew)')
    os.remove(file)
    list_images(root, cache)
    assert state(log) == 'anew'


def test_a_folder_that_changed_just_before_it_was_listed_is_not_believed_until_it_has_settled(
    root, cache, log, monkeypatch
):
    monkeypatch.setattr(directory_walk, 'SETTLED', 2)
    list_images(root, cache)
    list_images(root, cache)
    assert ' was being changed when it was listed (' in log[-2]
    assert state(log) == 'anew'
    monkeypatch.setattr(directory_walk, 'SETTLED', TICK)
    list_images(root, cache)
    assert state(log) == 'anew'
    list_images(root, cache)
    assert state(log) == 'cached'


def cut(size):
    return lambda file, other: os.truncate(file, size if size >= 0 else os.path.getsize(file) + size)


def flip(place):
    def damage(file, other):
        held = bytearray(Path(file).read_bytes())
        held[int(place * (len(held) - 1)) if isinstance(place, float) else place] ^= 0x10
        Path(file).write_bytes(held)

    return damage


def pickled(file, other):
    with open(file, 'wb') as opened:
        np.savez(opened, paths=np.array([Bomb()], dtype=object))


class Bomb:
    def __reduce__(self):
        return os._exit, (3,)


DAMAGES = {
    **{f'cut at {size}': (cut(size), r'it is cut short') for size in (1, 60, 111, 112, 300, -1)},
    'empty': (cut(0), 'it is cut short'),
    'grown': (lambda file, other: Path(file).write_bytes(Path(file).read_bytes() + b'\0'), 'or has grown'),
    **{f'one bit at {place}': (flip(place), 'it is damaged') for place in (16, 47, 0.3, 0.5, 0.8, 1.0)},
    'one bit of the key': (flip(50), 'it belongs to another folder'),
    'one bit of a size': (flip(81), 'it is cut short or has grown'),
    'noise': (lambda file, other: Path(file).write_bytes(random.Random(0).randbytes(5000)), 'it is something else'),
    'another root': (lambda file, other: shutil.copy(other, file), 'it belongs to another folder'),
    'npz with a pickle': (pickled, 'it is something else'),
}


@pytest.mark.parametrize('damage', DAMAGES)
def test_a_damaged_file_is_listed_anew_and_fixed(root, cache, log, damage, tmp_path):
    file = cache_file(root, cache)
    list_images(root, cache)
    list_images(str(tmp_path / 'elsewhere'), cache)
    change, reason = DAMAGES[damage]
    change(file, cache_file(str(tmp_path / 'elsewhere'), cache))
    assert paths(list_images(root, cache)) == plainly(root, [])
    assert re.search(f'{re.escape(file)} cannot be used: .*{reason}.*; listing anew$', log[-2])
    assert state(log) == 'anew'
    list_images(root, cache)
    assert state(log) == 'cached'


def test_a_folder_in_the_place_of_the_file_is_no_error(root, cache, log):
    os.makedirs(cache_file(root, cache))
    assert paths(list_images(root, cache)) == plainly(root, [])
    assert log[-1] == f'listings of folders cannot be kept in {cache} for the next start: Is a directory {LEFT}'
    assert os.listdir(cache) == [os.path.basename(cache_file(root, cache))]


def test_a_cache_folder_that_cannot_be_is_logged_once(root, tmp_path, log):
    touch(tmp_path / 'file')
    for folder in (root, root, f'{root}/c'):
        assert paths(list_images(folder, str(tmp_path / 'file/cache'))) == plainly(folder, [])
    assert [line for line in log if ', listed in' not in line] == [
        f'listings of folders cannot be kept in {tmp_path}/file/cache for the next start: Not a directory'
    ]


def test_a_full_disk_leaves_nothing_behind(root, cache, log, monkeypatch):
    def full(file):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(array_file.os, 'fsync', full)
    assert paths(list_images(root, cache)) == plainly(root, [])
    assert log[-1].endswith(f'for the next start: No space left on device {LEFT}')
    assert os.listdir(cache) == []


def test_nothing_is_kept_of_small_folders(root, cache, log, monkeypatch):
    monkeypatch.setattr(file_list, 'KEPT_FROM', 15)
    list_images(root, cache)
    assert not os.path.exists(cache)
    touch(f'{root}/new.jpg')
    list_images(root, cache)
    assert len(os.listdir(cache)) == 1
    os.remove(f'{root}/new.jpg')
    list_images(root, cache)
    assert os.listdir(cache) == []


def test_the_cache_is_off_when_asked_and_below_the_home_folder_otherwise(root, tmp_path, log, monkeypatch):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'xdg'))
    list_images(root, False)
    assert not os.path.exists(tmp_path / 'xdg')
    list_images(root)
    assert os.listdir(tmp_path / 'xdg/mixmae_mm/listings') == [os.path.basename(cache_file(root))]
    list_images(root, False)
    assert state(log) == 'anew'
    monkeypatch.delenv('XDG_CACHE_HOME')
    monkeypatch.setenv('HOME', '/home/someone')
    assert os.path.dirname(cache_file(root)) == '/home/someone/.cache/mixmae_mm/listings'
    assert os.path.dirname(cache_file(root, '~/mine')) == '/home/someone/mine'


def test_what_depends_on_the_endings_goes_by_them(root, cache, log, monkeypatch):
    list_images(root, cache)
    monkeypatch.setattr(file_list, 'EXTENSIONS', ('.md',))
    assert paths(list_images(root, cache)) == [f'{root}/d/readme.md']


@pytest.fixture(params=['anew', 'mapped', 'chosen'])
def images(request, root, cache):
    """A listing and the list that it stands for."""
    if request.param == 'anew':
        found = list_anew(root)[0]
    else:
        found = list_images(root, cache)
        assert found.source
    plain = [dict(img_path=path) for path in plainly(root, [])]
    if request.param == 'chosen':
        return found.take([13, 2, 2, -3, 0]), [plain[i] for i in (13, 2, 2, -3, 0)]
    return found, plain


def test_indices_and_slices_are_those_of_a_list(images):
    found, plain = images
    count = len(plain)
    assert [found[i] for i in range(-count, count)] == plain * 2
    bounds = (None, 0, 1, 3, -2, count, count + 5, -count - 5)
    for part in (slice(a, b, c) for a in bounds for b in bounds for c in (None, 1, 2, -1, -3)):
        assert list(found[part]) == plain[part]
        assert np.shares_memory(found[part].paths, found.paths)
    assert list(found[1:][::-1][1:3]) == plain[1:][::-1][1:3]
    assert found[1] in found
    assert found.index(plain[1]) == 1


@pytest.mark.parametrize('beyond', [0, 7])
def test_there_is_nothing_beyond_the_ends(images, beyond):
    found, plain = images
    for index in (len(plain) + beyond, -len(plain) - 1 - beyond):
        with pytest.raises(IndexError, match=f'^there is no image {index}: the listing of .* holds {len(plain)}$'):
            found[index]
        with pytest.raises(IndexError, match=f'were asked for: the listing of .* holds {len(plain)}$'):
            found.take([0, index])


def test_an_image_given_can_be_changed_without_changing_the_listing(images):
    found, plain = images
    found[0]['img_path'] = 'other'
    assert found[0] == plain[0]


def test_copies_share_the_memory_and_pickles_hold_the_same(images):
    found, plain = images
    assert copy.deepcopy(found) is found
    for same in (copy.copy(found), pickle.loads(pickle.dumps(found)), pickle.loads(pickle.dumps(found[2:]))[::-1]):
        assert list(same) in (plain, plain[2:][::-1])


def test_a_pickle_names_the_file_only_while_it_is_the_same(root, cache, log):
    found, before = list_images(root, cache), plainly(root, [])
    assert found.paths.tobytes()[:30] not in pickle.dumps(found)
    in_time = pickle.dumps(found)
    touch(f'{root}/new.jpg')
    assert len(list_images(root, cache)) == 15
    assert paths(pickle.loads(pickle.dumps(found))) == before
    with pytest.raises(ValueError, match=r'was replaced while a process that uses it was starting; start again$'):
        pickle.loads(in_time)
    os.remove(found.source[0])
    assert paths(pickle.loads(pickle.dumps(found))) == before == paths(found)


def test_a_process_of_its_own_reads_the_pickle(root, cache):
    found = list_images(root, cache)
    ensure_server()
    with ProcessPoolExecutor(1, CONTEXT) as pool:
        assert pool.submit(paths, found).result() == plainly(root, [])


def write_in_turns(file, key, contents):
    for arrays in contents * 100:
        array_file.write(file, key, arrays)


def test_who_reads_while_others_write_gets_all_of_the_one_or_the_other(tmp_path):
    file, key = str(tmp_path / 'file'), bytes(32)
    contents = [[np.full(1000 * (i + 1), i, np.int64), *[np.zeros(9, np.uint8)] * 3] for i in range(2)]
    array_file.write(file, key, contents[0])
    context = multiprocessing.get_context('fork')
    writers = [context.Process(target=write_in_turns, args=(file, key, contents)) for _ in range(2)]
    for writer in writers:
        writer.start()
    met = set()
    while any(writer.is_alive() for writer in writers):
        first = array_file.read(file, key)[1][0].view('<i8')
        met.add((len(first), *np.unique(first)))
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert met == {(1000, 0), (2000, 1)}
    assert os.listdir(tmp_path) == ['file']


def test_a_file_that_is_right_already_is_not_replaced(root, cache):
    """Others may have it mapped, on another machine even."""
    file = cache_file(root, cache)
    first = list_images(root, cache)
    before = os.stat(file).st_ino
    assert file_list.keep(*list_anew(root), file).source == first.source
    assert os.stat(file).st_ino == before


def dataset(root, cache, **settings):
    return ImageFolder(root, cache=cache, **settings)


def infos(dataset):
    return [dataset.get_data_info(i) for i in range(len(dataset))]


@pytest.mark.parametrize('indices', [None, 0, 3, 99, -4, [5], (3, 1, 1, -1), range(9, 0, -2), []])
def test_a_dataset_of_a_listing_is_one_of_a_list(root, cache, indices):
    plain = plainly(root, [])
    if isinstance(indices, int):
        plain = plain[:indices] if indices >= 0 else plain[indices:]
    elif indices is not None:
        plain = [plain[i] for i in indices]
    expected = [dict(img_path=path, sample_idx=i) for i, path in enumerate(plain)]
    whole = dataset(root, cache)
    part = whole if indices is None else whole.get_subset(indices)
    for same in (part, dataset(root, cache, indices=indices), copy.deepcopy(part), pickle.loads(pickle.dumps(part))):
        assert infos(same) == expected
        assert isinstance(same.data_list, file_list.Listing)
    assert len(infos(whole)) == 14
    if indices is not None:
        whole.get_subset_(indices)
        assert infos(whole) == expected


def test_a_dataset_reaches_back_from_the_end(root, cache):
    assert dataset(root, cache).get_data_info(-1) == dict(img_path=plainly(root, [])[-1], sample_idx=13)


class Bitmaps(ImageFolder):
    def filter_data(self):
        return [image for image in self.data_list if image['img_path'].endswith('.bmp')]


def test_a_dataset_can_filter(root, cache):
    assert infos(Bitmaps(root, cache=cache, indices=[0])) == [dict(img_path=f'{root}/c/a.bmp', sample_idx=0)]


def test_a_dataset_takes_the_listing_of_the_last_start(root, cache, log):
    dataset(root, cache)
    dataset(root, cache)
    assert state(log) == 'cached'
    dataset(root, cache=False)
    assert state(log) == 'anew'


@pytest.mark.parametrize(('count', 'kept'), [(9_999, False), (10_000, True)])
def test_listings_are_kept_from_ten_thousand_images_on(tmp_path, cache, monkeypatch, count, kept):
    monkeypatch.undo()  # the tests before keep smaller ones
    file = cache_file(str(tmp_path), cache)
    file_list.keep(file_list.Listing.of(str(tmp_path), b'a.jpg\0' * count), {'': (1, 2, 3)}, file)
    assert os.path.exists(file) == kept


def test_what_is_left_out_is_counted_and_said_again_from_the_cache(root, cache, log):
    for name in ('x.HEIC', 'y.heic', 'n.txt', 'none'):
        touch(f'{root}/z/{name}')
    time.sleep(2 * TICK)
    left_out = r'; \d+ files \(.*2 \.heic.*\) left out\)'
    for _ in range(2):
        found = list_images(root, cache)
        assert re.search(r'\d+ \.jpg.*' + left_out, log[-1])
        assert found.contents in log[-1]
    assert state(log) == 'cached'
    read = list_anew(root, ['.txt', '.heic'])[0].contents.split('; ')[0]
    assert sorted(read.split(', ')) == ['2 .heic', '2 .txt']  # one is a.jpg.txt
