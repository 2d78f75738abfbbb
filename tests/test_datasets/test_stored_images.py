"""The same images in a folder, archives, LMDB and a Hugging Face dataset are the same to the last bit."""

import copy
import io
import os
import pickle
import struct
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.registry import DATASETS
from mmengine.runner import Runner

from mixmae_mm.datasets import (
    HuggingFaceImages,
    ImageArchive,
    ImageFolder,
    ImageLMDB,
    LoadImage,
    archives,
)

ORDER = ['a.PNG', 'b.jpg', 'c/a.bmp', 'c/b.webp', 'c/d/a.JPG', 'c/d/e.jpeg', 'd.ppm', 'z.tif']
OTHERS = ('labels.csv', 'c/b.cls', '.hidden/a.jpg', 'c/._b.jpg', '__MACOSX/._a.jpg')


def files_of(folder):
    """Name and bytes of each file, not in order."""
    paths = [path for path in Path(folder).rglob('*') if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(paths, reverse=True)}


@pytest.fixture
def files(image_folder):
    for name in OTHERS:
        Path(image_folder, name).parent.mkdir(exist_ok=True)
        Path(image_folder, name).write_bytes(b'')
    return files_of(image_folder)


def write_zip(path, files, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, 'w', method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return str(path)


def write_tar(path, files, lead='', **settings):
    with tarfile.open(path, 'w', **settings) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(lead + name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return str(path)


def write_lmdb(path, files, **settings):
    lmdb = pytest.importorskip('lmdb', reason='needs lmdb')
    with lmdb.open(str(path), map_size=2**24, **settings) as database, database.begin(write=True) as transaction:
        for name, content in files.items():
            transaction.put(os.fsencode(name), content)
    return str(path)


def write_rows(path, contents, **columns):
    datasets = pytest.importorskip('datasets', reason='needs datasets')
    features = datasets.Features(image=datasets.Image(), **{name: datasets.Value('int64') for name in columns})
    rows = [dict(bytes=content, path=None) for content in contents]
    datasets.Dataset.from_dict(dict(image=rows, **columns), features=features).save_to_disk(str(path))
    return str(path)


STORES = {
    'zip, deflated': lambda path, files: ImageArchive(write_zip(path / 'a.ZIP', files), [LoadImage()]),
    'zip, stored': lambda path, files: ImageArchive(write_zip(path / 'a.zip', files, 0), [LoadImage()]),
    'tar': lambda path, files: ImageArchive(write_tar(path / 'a.tar', files, './'), [LoadImage()]),
    'old tar': lambda path, files: ImageArchive(
        write_tar(path / 'a.tar', files, format=tarfile.USTAR_FORMAT), [LoadImage()]
    ),
    'lmdb': lambda path, files: ImageLMDB(write_lmdb(path / 'db', files), [LoadImage()]),
    'lmdb, one file': lambda path, files: ImageLMDB(write_lmdb(path / 'db', files, subdir=False), [LoadImage()]),
}


@pytest.fixture
def elsewhere(tmp_path_factory):
    return tmp_path_factory.mktemp('stored')


@pytest.mark.parametrize('kind', STORES)
def test_images_are_those_of_the_folder_in_its_order(image_folder, files, elsewhere, kind):
    stored = STORES[kind](elsewhere, files)
    folder = ImageFolder(image_folder, [LoadImage()])
    assert [stored.get_data_info(i)['img_path'] for i in range(len(stored))] == [
        f'{stored.data_root}/{name}' for name in ORDER
    ]
    for again in (stored, pickle.loads(pickle.dumps(stored)), copy.deepcopy(stored)):
        for ours, theirs in zip(again, folder, strict=False):
            assert np.array_equal(ours['img'], theirs['img'])
            assert 'img_bytes' not in ours
    part = stored.get_subset([6, 1])
    assert np.array_equal(part[0]['img'], folder[6]['img'])
    assert np.array_equal(part[1]['img'], folder[1]['img'])
    assert np.array_equal(stored.get_subset(3)[2]['img'], folder[2]['img'])


def test_rows_are_those_of_the_folder(image_folder, elsewhere):
    contents = [Path(image_folder, name).read_bytes() for name in ORDER]
    stored = HuggingFaceImages(write_rows(elsewhere / 'rows', contents, label=list(range(8))), [LoadImage()])
    folder = ImageFolder(image_folder, [LoadImage()])
    assert stored.get_data_info(7)['img_path'] == f'{elsewhere}/rows/train/7'
    for again in (stored, pickle.loads(pickle.dumps(stored)), stored.get_subset(range(8))):
        assert len(again) == 8
        assert all(np.array_equal(again[i]['img'], folder[i]['img']) for i in range(8))


def test_shards_come_one_after_another(files, elsewhere):
    (elsewhere / 'x').mkdir()
    few = [f'{key}.{kind}' for key in ('0002', '0001') for kind in ('cls', 'jpg', 'json')]
    for name in ('b.tar', 'a.tar', 'x/c.tar'):
        write_tar(elsewhere / name, dict.fromkeys(few, files['b.jpg']))
    (elsewhere / 'readme.txt').write_text('')
    shards = ImageArchive(str(elsewhere))
    expected = [f'{elsewhere}/{shard}/{key}.jpg' for shard in ('a.tar', 'b.tar', 'x/c.tar') for key in ('0001', '0002')]
    assert [shards.get_data_info(i)['img_path'] for i in range(len(shards))] == expected


def test_of_equal_names_the_last_counts_and_links_lead_within(elsewhere, files):
    write_tar(elsewhere / 'a.tar', {'d/x.jpg': b'old'})
    with tarfile.open(elsewhere / 'a.tar', 'a') as archive:
        member = tarfile.TarInfo('d/x.jpg')
        member.size = 4
        archive.addfile(member, io.BytesIO(b'new!'))
        links = dict(hard=(tarfile.LNKTYPE, 'd/x.jpg'), gone=(tarfile.SYMTYPE, 'y.jpg'))
        for name, (kind, target) in (links | {'d/soft': (tarfile.SYMTYPE, 'x.jpg')}).items():
            member = tarfile.TarInfo(f'{name}.jpg')
            member.type, member.linkname = kind, target
            archive.addfile(member)
    found = archives.choose_images(archives.files_in(str(elsewhere / 'a.tar')))
    assert list(found) == ['d/soft.jpg', 'd/x.jpg', 'hard.jpg']
    assert {archives.read_member(str(elsewhere / 'a.tar'), place) for place in found.values()} == {b'new!'}


@pytest.mark.parametrize('kind', ['zip', 'tar', 'lmdb', 'rows'])
def test_a_broken_image_is_replaced_and_named(files, elsewhere, monkeypatch, kind):
    texts = []
    monkeypatch.setattr('mixmae_mm.datasets.skip_corrupt.print_log', lambda text, **_: texts.append(text))
    contents = {'0.jpg': b'no pixels', '1.jpg': files['b.jpg']}
    make = dict(
        zip=lambda: ImageArchive(write_zip(elsewhere / 'a.zip', contents), [LoadImage()]),
        tar=lambda: ImageArchive(write_tar(elsewhere / 'a.tar', contents), [LoadImage()]),
        lmdb=lambda: ImageLMDB(write_lmdb(elsewhere / 'db', contents), [LoadImage()]),
        rows=lambda: HuggingFaceImages(write_rows(elsewhere / 'rows', contents.values()), [LoadImage()]),
    )
    stored = make[kind]()
    first, second = (stored.get_data_info(i)['img_path'] for i in range(2))
    assert stored[0]['img_path'] == second
    assert texts == [f'corrupt image skipped (1 so far): {first}: not an image, whatever its name says']


@pytest.mark.parametrize('method', [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_damaged_archive_is_distinguished_from_its_images(elsewhere, files, method):
    path = write_zip(elsewhere / 'a.zip', {'a.png': files['a.PNG']}, method)
    listing = archives.list_archives(path)
    _, start, stored, size, crc = listing[0]['place']
    whole = bytearray(Path(path).read_bytes())
    whole[-40 - 60] ^= 1  # a bit within the only file
    Path(path).write_bytes(whole)
    with pytest.raises(ValueError, match='checksum is wrong'):
        archives.read_member(path, (method, start, stored, size, crc))
    Path(path).write_bytes(whole[:300])
    with pytest.raises(ValueError, match=rf'bytes are there and not {size}: the archive is cut off or has changed'):
        archives.read_member(path, (method, start, stored, size, crc))


class FewBytes(io.FileIO):
    """A file that gives three bytes at a time, as a raw read may."""

    def readinto(self, buffer):
        return super().readinto(memoryview(buffer)[:3])

    def read(self, size=-1):
        return super().read(min(size, 3) if size >= 0 else size)


@pytest.mark.parametrize('write', [write_zip, write_tar])
def test_members_are_read_whole_from_files_that_give_little_at_a_time(elsewhere, monkeypatch, write):
    name = 'a.zip' if write is write_zip else 'a.tar'
    path = write(elsewhere / name, {'b.jpg': bytes(range(256)) * 9})
    (place,) = archives.files_in(path).values()

    def opened(file, mode, buffering=-1):
        raw = FewBytes(file, mode)
        return raw if buffering == 0 else io.BufferedReader(raw, 64)

    monkeypatch.setattr(archives, 'open', opened, raising=False)
    assert archives.read_member(path, place) == bytes(range(256)) * 9


def test_a_folder_named_as_an_image_is_none(elsewhere):
    path = write_zip(elsewhere / 'a.zip', {'d.jpg/': b'', 'd.jpg/x.png': b'1'})
    assert list(archives.choose_images(archives.files_in(path))) == ['d.jpg/x.png']


def cut(path, files):
    write_tar(path, files)
    path.write_bytes(path.read_bytes()[:3000])


def encrypted(path, files):
    write_zip(path, files, 0)
    whole = bytearray(path.read_bytes())
    directory = whole.index(b'PK\x01\x02')
    struct.pack_into('<H', whole, directory + 8, 1)
    path.write_bytes(whole)


@pytest.mark.parametrize(
    ('name', 'make', 'message'),
    [
        ('a.zip', lambda path, files: path.write_bytes(b'no zip'), r'a\.zip cannot be read \(.*\): it is not a zip'),
        ('a.tar', lambda path, files: path.write_bytes(b'no tar' * 200), r'a\.tar cannot be read .*: it is not a tar'),
        ('a.tar', cut, r'a\.tar cannot be read \(unexpected end of data\).* is cut off'),
        ('a.zip', lambda path, files: write_zip(path, files, zipfile.ZIP_BZIP2), r'zip is compressed by method 12: '),
        ('a.zip', encrypted, r'a\.zip is encrypted: make it anew without, as by `zip -0 -r`$'),
        ('a.zip', lambda path, files: write_zip(path, {'a.txt': b''}), r'^no image in the 1 archive\(s\) of .*zip'),
        ('a.tar.gz', lambda path, files: path.write_bytes(b''), r'holds 1 files \(1 \.gz\); archives end in \.zip \.'),
        ('b', lambda path, files: None, r"^data_root '.*/b' does not exist \(looked for /.*/b\); set it in the config"),
    ],
)
def test_an_archive_that_cannot_be_used(elsewhere, files, name, make, message):
    make(elsewhere / name, files)
    with pytest.raises(ValueError, match=message):
        ImageArchive(str(elsewhere / name))


def test_a_database_without_endings_holds_images_only(elsewhere, files):
    stored = ImageLMDB(write_lmdb(elsewhere / 'db', {'ä': files['b.jpg'], 'b/c': files['a.PNG']}), [LoadImage()])
    assert [Path(image['img_path']).name for image in (stored[0], stored[1])] == ['c', 'ä']


def test_invalid_databases(elsewhere):
    with pytest.raises(ValueError, match='is empty$'):
        ImageLMDB(write_lmdb(elsewhere / 'db', {}))
    (elsewhere / 'file').write_text('text')
    with pytest.raises(ValueError, match="file' cannot be opened as an LMDB database: "):
        ImageLMDB(str(elsewhere / 'file'))
    with pytest.raises(ValueError, match='none\' does not exist'):
        ImageLMDB(str(elsewhere / 'none'))


def test_a_key_that_went_away(elsewhere, files):
    stored = ImageLMDB(write_lmdb(elsewhere / 'db', {'a.jpg': b'1', 'b.jpg': b'2'}))
    with pytest.raises(KeyError, match=r"there is no key 'c\.jpg' any more"):
        stored.read(dict(img_path=f'{elsewhere}/db/c.jpg'))
    assert stored.read(dict(img_path=f'{elsewhere}/db/b.jpg')) == b'2'


def test_the_column_of_images(elsewhere):
    datasets = pytest.importorskip('datasets', reason='needs datasets')
    features = datasets.Features(one=datasets.Image(), two=datasets.Image(), raw=datasets.Value('binary'))
    row = dict(one=[dict(bytes=b'1', path=None)], two=[dict(bytes=b'2', path=None)], raw=[b'3'])
    both = datasets.DatasetDict(a=datasets.Dataset.from_dict(row, features=features))
    both.save_to_disk(str(elsewhere / 'rows'))
    for column, content in dict(one=b'1', two=b'2', raw=b'3').items():
        stored = HuggingFaceImages(str(elsewhere / 'rows'), split='a', column=column)
        assert stored.read(stored.get_data_info(0)) == content
    with pytest.raises(ValueError, match=r'1 rows, columns one, two, raw, and images in one, two: name one '):
        HuggingFaceImages(str(elsewhere / 'rows'), split='a')
    with pytest.raises(ValueError, match="has no split 'train': set split to one of a$"):
        HuggingFaceImages(str(elsewhere / 'rows'))


@pytest.mark.parametrize(
    ('module', 'kind', 'root'), [('lmdb', ImageLMDB, 'db'), ('datasets', HuggingFaceImages, 'rows')]
)
def test_a_missing_library_is_named(elsewhere, monkeypatch, module, kind, root):
    monkeypatch.setitem(__import__('sys').modules, module, None)
    (elsewhere / root).mkdir()
    with pytest.raises(ImportError, match=f'{kind.__name__} needs {module}: pip install {module}'):
        kind(str(elsewhere / root))


def test_a_library_that_is_missing_later_makes_no_corrupt_image(elsewhere, files, monkeypatch):
    stored = ImageArchive(write_zip(elsewhere / 'a.zip', {'b.jpg': files['b.jpg']}), [LoadImage()])

    def missing(*_):
        raise ImportError('needs nothing: pip install nothing')

    monkeypatch.setattr('mixmae_mm.datasets.image_archive.read_member', missing)
    with pytest.raises(ImportError, match='pip install nothing'):
        stored[0]
    assert not stored.corrupt.flags.any()


def test_what_is_left_out_of_archives_and_databases_is_counted(files, elsewhere):
    archive = ImageArchive(write_zip(elsewhere / 'a.zip', files | {'x.HEIC': b''}))
    read, left_out = archive.data_list.contents.split('; ')
    assert read.startswith('2 .jpg, 1 .')
    assert sorted(left_out.replace('(', ', ').replace(')', ',').split(', ')) == [
        '1 .cls', '1 .csv', '1 .heic', '3 files ', 'left out',
    ]  # fmt: skip
    database = ImageLMDB(write_lmdb(elsewhere / 'db', files))
    assert database.data_list.contents == '5 other keys left out'


PIPELINE = [
    dict(type='mixmae_mm.SeedSample'),
    dict(type='mixmae_mm.LoadRandomResizedCrop', scale=16),
    dict(type='mmpretrain.PackInputs'),
]


def batches(dataset):
    config = dict(
        batch_size=4,
        num_workers=2,
        sampler=dict(type='mixmae_mm.SeededSampler', shuffle=True),
        collate_fn=dict(type='default_collate'),
        dataset=dict(dataset, pipeline=PIPELINE),
    )
    return torch.cat([batch['inputs'] for batch in Runner.build_dataloader(config, seed=3)])


def test_training_sees_the_same_from_all(image_folder, files, elsewhere):
    """Also when the database was open before the workers were forked."""
    database = dict(type='mixmae_mm.ImageLMDB', data_root=write_lmdb(elsewhere / 'db', files))
    DATASETS.build(dict(database, pipeline=[LoadImage()]))[0]
    expected = batches(dict(type='mixmae_mm.ImageFolder', data_root=image_folder))
    archive = dict(type='mixmae_mm.ImageArchive', data_root=write_zip(elsewhere / 'a.zip', files))
    assert torch.equal(batches(archive), expected)
    assert torch.equal(batches(database), expected)
