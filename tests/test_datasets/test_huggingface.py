"""Images in Hugging Face datasets, tar shards and parquet files are those of the folder to the last bit."""

import io
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest

from mixmae_mm.datasets import HuggingFaceImages, ImageFolder, LoadImage

datasets = pytest.importorskip('datasets', reason='needs datasets')
ORDER = ['a.PNG', 'b.jpg', 'c/a.bmp', 'c/b.webp', 'c/d/a.JPG', 'c/d/e.jpeg', 'd.ppm', 'z.tif']


@pytest.fixture(autouse=True)
def offline(tmp_path_factory, monkeypatch):
    monkeypatch.setattr('datasets.config.HF_DATASETS_CACHE', str(tmp_path_factory.mktemp('cache')))
    monkeypatch.setattr('datasets.config.HF_HUB_OFFLINE', True)


@pytest.fixture
def contents(image_folder):
    return [Path(image_folder, name).read_bytes() for name in ORDER]


@pytest.fixture
def elsewhere(tmp_path_factory):
    return tmp_path_factory.mktemp('stored')


def rows_of(contents, **columns):
    features = datasets.Features(image=datasets.Image(), **{name: datasets.Value('int64') for name in columns})
    rows = [dict(bytes=content, path=None) for content in contents]
    return datasets.Dataset.from_dict(dict(image=rows, **columns), features=features)


def saved(folder, contents, **columns):
    rows_of(contents, **columns).save_to_disk(str(folder))
    return str(folder)


def parquet(folder, contents):
    folder.mkdir()
    rows_of(contents).to_parquet(str(folder / 'train.parquet'))
    return str(folder)


def shards(folder, contents):
    """Two tar files as WebDataset has them: samples of an image and a label."""
    folder.mkdir()
    for shard, part in enumerate((contents[:5], contents[5:])):
        with tarfile.open(folder / f'{shard}.tar', 'w') as archive:
            for number, content in enumerate(part):
                for extension, data in (('jpg', content), ('cls', b'3')):
                    member = tarfile.TarInfo(f'{shard}{number}.{extension}')
                    member.size = len(data)
                    archive.addfile(member, io.BytesIO(data))
    return str(folder)


@pytest.mark.parametrize('write', [saved, parquet, shards])
def test_images_are_those_of_the_folder(image_folder, contents, elsewhere, write):
    stored = HuggingFaceImages(write(elsewhere / 'rows', contents), [LoadImage()])
    folder = ImageFolder(image_folder, [LoadImage()])
    assert stored.get_data_info(7)['img_path'] == f'{elsewhere}/rows/train/7'
    for again in (stored, pickle.loads(pickle.dumps(stored)), stored.get_subset(range(8))):
        assert len(again) == 8
        assert all(np.array_equal(again[i]['img'], folder[i]['img']) for i in range(8))
    assert np.array_equal(stored.get_subset([6, 1])[0]['img'], folder[6]['img'])


def test_a_corrupt_image_is_replaced(contents, elsewhere):
    stored = HuggingFaceImages(saved(elsewhere / 'rows', [b'no pixels', contents[1]]), [LoadImage()])
    assert stored[0]['img_path'].endswith('/1')
    assert stored.corrupt.indices() == [0]


def test_column_and_split_are_checked(contents, elsewhere):
    two = rows_of(contents, label=list(range(8))).add_column('more', [b'1'] * 8)
    datasets.DatasetDict(val=two).save_to_disk(str(elsewhere / 'two'))
    assert len(HuggingFaceImages(str(elsewhere / 'two'), split='val')) == 8
    with pytest.raises(KeyError, match='train'):
        HuggingFaceImages(str(elsewhere / 'two'))
    for column in ('label2', 'x'):
        with pytest.raises(ValueError, match=f'8 rows.* image, label, more.* column=..., got {column}'):
            HuggingFaceImages(str(elsewhere / 'two'), split='val', column=column)


def test_a_library_that_may_run_scripts_is_refused(contents, elsewhere, monkeypatch):
    monkeypatch.setattr(datasets, '__version__', '3.6.0')
    with pytest.raises(ImportError, match='pip install "datasets>=4"'):
        HuggingFaceImages(saved(elsewhere / 'rows', contents))
