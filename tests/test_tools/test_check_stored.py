"""What a config reads out of archives, databases and files with bands is checked by the dataset that reads it."""

import json
import zipfile

import numpy as np
import pytest
from forked import Program
from micro_training import finish
from small_datasets import cells, check, image
from tool_loading import TOOLS

SCRIPT = str(TOOLS / 'dataset_tools/check_dataset.py')

CONFIG = """
seed, pack = dict(type='mixmae_mm.SeedSample'), dict(type='mmpretrain.PackInputs')
load = dict(type='mixmae_mm.{load}', {settings})
dataset = dict(type='mixmae_mm.{kind}', data_root={root!r}, extensions={extensions}, pipeline=[seed, load, pack])
train_dataloader = dict(dataset=dataset)
"""


def config(tmp_path, root, kind, load='LoadRandomResizedCrop', settings='scale=8', extensions=None):
    text = CONFIG.format(root=str(root), kind=kind, load=load, settings=settings, extensions=extensions)
    (tmp_path / 'config.py').write_text(text)
    return '--config', tmp_path / 'config.py'


@pytest.fixture
def contents(tmp_path):
    """Three files: an image, one that ends early, and one that is none."""
    image(tmp_path / 'a.jpg')
    whole = (tmp_path / 'a.jpg').read_bytes()
    return {'a.jpg': whole, 'b.jpg': whole[: len(whole) * 2 // 3], 'c.jpg': b'no image'}


def as_archive(folder, contents):
    with zipfile.ZipFile(folder / 'set.zip', 'w') as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return folder / 'set.zip'


def as_database(folder, contents):
    lmdb = pytest.importorskip('lmdb', reason='needs lmdb')
    with lmdb.open(str(folder / 'set.lmdb'), map_size=2**20) as database, database.begin(write=True) as transaction:
        for name, content in contents.items():
            transaction.put(name.encode(), content)
    return folder / 'set.lmdb'


@pytest.mark.parametrize(('write', 'kind'), [(as_archive, 'ImageArchive'), (as_database, 'ImageLMDB')])
def test_broken_images_are_counted_and_named(tmp_path, capsys, contents, write, kind):
    root = write(tmp_path, contents)
    status, problems, text = check(capsys, *config(tmp_path, root, kind))
    assert (status, cells(text)) == (1, [['train', '3']])
    assert [problem.partition(f' ({root}/')[0] for problem in problems] == [
        'error: train: images that are cut off: 1',
        'error: train: files that cannot be read as images: 1',
    ]
    assert [problem.partition(f' ({root}/')[2][:6] for problem in problems] == ['b.jpg:', 'c.jpg:']


def test_headers_do_not_tell_of_a_cut_off_image(tmp_path, capsys, contents):
    command = config(tmp_path, as_archive(tmp_path, contents), 'ImageArchive')
    _, problems, _ = check(capsys, *command, '--quick')
    (problem,) = problems
    assert '/set.zip/c.jpg: ' in problem


@pytest.mark.parametrize('options', [(), ('--quick',)])
def test_damaged_and_empty_members_are_named_and_the_rest_is_checked(tmp_path, capsys, contents, options):
    root = tmp_path / 'set.zip'
    with zipfile.ZipFile(root, 'w') as archive:
        for name, content in {'a.jpg': contents['a.jpg'], 'b.jpg': b'', 'c.jpg': contents['a.jpg']}.items():
            archive.writestr(name, content)
    damaged = bytearray(root.read_bytes())
    damaged[damaged.index(contents['a.jpg']) + 50] ^= 255
    root.write_bytes(damaged)
    status, problems, text = check(capsys, *config(tmp_path, root, 'ImageArchive'), *options)
    assert (status, cells(text)) == (1, [['train', '3']])
    assert [problem.partition(' (')[0] for problem in problems] == [
        'error: train: files that cannot be read as images: 1',
        'error: train: empty files',
    ]
    assert f'{root}/a.jpg: ' in problems[0]
    assert f'{root}/b.jpg' in problems[1]


def test_nothing_is_said_of_what_is_right(tmp_path, capsys, contents):
    root = as_archive(tmp_path, {'a.jpg': contents['a.jpg'], 'note.txt': b''})
    for options in ((), ('--quick',)):
        assert check(capsys, *config(tmp_path, root, 'ImageArchive'), *options)[:2] == (0, [])


def test_no_archive_no_image(tmp_path, capsys):
    status, problems, text = check(capsys, *config(tmp_path, tmp_path / 'gone.zip', 'ImageArchive'))
    assert (status, cells(text)) == (1, [])
    assert problems[0].startswith(f"error: train: cannot be opened: 1 (data_root '{tmp_path}/gone.zip' does not exist")


@pytest.mark.parametrize('options', [(), ('--quick',)])
def test_files_with_bands_are_read_as_the_config_does(tmp_path, capsys, options):
    (tmp_path / 'bands').mkdir()
    for number, bands in enumerate((5, 5, 4)):
        np.save(tmp_path / f'bands/{number}.npy', np.zeros((8, 8, bands), np.uint16))
    settings = 'scale=4, channels=5, bands=(0, 2)'
    crop = 'LoadMultispectralRandomResizedCrop'
    command = config(tmp_path, tmp_path / 'bands', 'ImageFolder', crop, settings, ['.npy'])
    status, problems, text = check(capsys, *command, *options)
    assert (status, cells(text)) == (1, [['train', '3']])
    where = f'{tmp_path}/bands/2.npy: ValueError: 4 channels, and not 5'
    assert problems == [f'error: train: files that cannot be read as images: 1 ({where})']


def test_several_processes_find_the_same(tmp_path, contents):
    root = as_archive(tmp_path, contents)
    command = [*config(tmp_path, root, 'ImageArchive'), '--workers', '2', '--json']
    out, _ = finish(Program(SCRIPT, *command), status=1)
    problems = json.loads(out)['problems']
    assert [(problem['what'], problem['count']) for problem in problems] == [
        ('images that are cut off', 1),
        ('files that cannot be read as images', 1),
    ]
