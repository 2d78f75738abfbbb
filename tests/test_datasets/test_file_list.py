"""The listing of a folder's images."""

import copy
import os
import pickle
from pathlib import Path

import pytest
from forked import CONTEXT, ensure_server

from mixmae_mm.datasets import EXTENSIONS, ImageFolder
from mixmae_mm.datasets.file_list import Listing, list_images

FILES = [
    *('b.jpg', 'a.PNG', 'B.jpg', 'two.dots.jpeg', 'no_extension', 'dot.', 'a.jpg.txt', '.hidden.jpg', 'ä ö.tif'),
    *('c/d/e.webp', 'c/d/x.bmp/inside.jpg', 'c/a.bmp', 'c/line\nfeed.jpg', '.hidden/a.jpg', 'd/readme.md', 'z/z/z.pgm'),
    *('@eaDir/x.jpg', '__MACOSX/._b.jpg', os.fsdecode(b'c/\xff\xfe.jpg'), os.fsdecode(b'\xe9t\xe9/a.jpg')),
]


@pytest.fixture
def root(tmp_path):
    """A folder with links: to a folder elsewhere, back up, twice to one folder, to a file, and to nothing yet."""
    root = tmp_path / 'images'
    for path in [*(root / name for name in FILES), tmp_path / 'elsewhere/deep/linked.jpg']:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b'')
    links = dict(m='../elsewhere', n='../elsewhere', q='b.jpg', p='../mounted') | {'c/up': '..'}
    for name, target in links.items():
        os.symlink(target, root / name)
    return str(root)


def plainly(folder, entered):
    """List images the way it is specified: sorted folder by folder, links followed once."""
    if os.path.realpath(folder) in entered:
        return []
    entered.append(os.path.realpath(folder))
    found = []
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name)
        if name.startswith('.') or name in ('@eaDir', '__MACOSX'):
            continue
        if os.path.isdir(path):
            found += plainly(path, entered)
        elif os.path.splitext(path)[1].lower() in EXTENSIONS:
            found.append(path)
    return found


def paths(images):
    return [image['img_path'] for image in images]


@pytest.mark.parametrize('spelled', ['{}', '{}/', './images', 'images'])
def test_the_order_and_the_names_are_those_of_plain_loops(root, spelled, monkeypatch):
    monkeypatch.chdir(Path(root).parent)
    spelled = spelled.format(root)
    expected = plainly(spelled, [])
    assert len(expected) == 13
    assert paths(list_images(spelled)) == expected
    assert all(map(os.path.exists, expected))


def test_what_is_left_out_is_counted(root):
    Path(root, 'z/x.HEIC').touch()
    read, left_out = list_images(root).contents.split('; ')
    assert read.startswith('7 .jpg, ')
    assert left_out.startswith('7 files (')
    assert '1 .heic' in left_out
    assert list_images(root, ['.heic']).contents.startswith('1 .heic; ')


def test_indices_and_slices_are_those_of_a_list_and_share_its_memory(root):
    found, plain = list_images(root), [dict(img_path=path) for path in plainly(root, [])]
    count = len(plain)
    assert [found[i] for i in range(-count, count)] == plain * 2
    bounds = (None, 0, 1, 3, -2, count, count + 5, -count - 5)
    for part in (slice(a, b, c) for a in bounds for b in bounds for c in (None, 1, 2, -1, -3)):
        assert list(found[part]) == plain[part]
        assert found[part].paths is found.paths
    for index in (count, -count - 1):
        with pytest.raises(IndexError):
            found[index]
    found[0]['img_path'] = 'other'
    assert found[0] == plain[0]


def test_copies_share_the_memory_and_pickles_hold_the_same(root):
    found, plain = list_images(root), plainly(root, [])
    assert copy.deepcopy(found) is found
    assert paths(pickle.loads(pickle.dumps(found[2:]))[::-1]) == plain[2:][::-1]
    ensure_server()
    with CONTEXT.Pool(1) as pool:
        assert pool.apply(paths, [found]) == plain


def test_an_image_takes_the_bytes_of_its_path_and_nine():
    listing = Listing('/root', b'a.jpg\0' * 1000)
    assert len(listing.paths) + listing.ends.nbytes == 1000 * (5 + 9)
    assert listing[999] == dict(img_path='/root/a.jpg')


@pytest.mark.parametrize('indices', [None, 0, 3, 99, -4, [5], (3, 1, 1, -1), range(9, 0, -2)])
def test_a_dataset_of_a_listing_is_one_of_a_list(root, indices):
    plain = plainly(root, [])
    if isinstance(indices, int):
        plain = plain[:indices] if indices >= 0 else plain[indices:]
    elif indices is not None:
        plain = [plain[i] for i in indices]
    expected = [dict(img_path=path, sample_idx=i) for i, path in enumerate(plain)]
    whole = ImageFolder(root)
    part = whole if indices is None else whole.get_subset(indices)
    for same in (part, ImageFolder(root, indices=indices), copy.deepcopy(part), pickle.loads(pickle.dumps(part))):
        assert [same.get_data_info(i) for i in range(len(same))] == expected
    assert len(whole) == 13
