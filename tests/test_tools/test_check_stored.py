"""What a config reads out of Hugging Face datasets and multispectral files is checked by the dataset that reads it."""

import numpy as np
import pytest
from small_datasets import cells, check, image

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


@pytest.mark.parametrize('options', [(), ('--quick',), ('--workers', '2')])
def test_corrupt_and_empty_images_are_counted_and_named(tmp_path, capsys, options):
    datasets = pytest.importorskip('datasets', reason='needs datasets')
    image(tmp_path / 'a.jpg')
    whole = (tmp_path / 'a.jpg').read_bytes()
    rows = [dict(bytes=content, path=None) for content in (whole, whole[: len(whole) * 2 // 3], b'no image', b'')]
    features = datasets.Features(image=datasets.Image())
    datasets.Dataset.from_dict(dict(image=rows), features=features).save_to_disk(str(tmp_path / 'rows'))
    status, problems, text = check(capsys, *config(tmp_path, tmp_path / 'rows', 'HuggingFaceImages'), *options)
    assert (status, cells(text)) == (1, [['train', '4']])
    found = {problem.partition(' (')[0]: problem for problem in problems}
    assert f'{tmp_path}/rows/train/2: ' in found['error: train: files that cannot be read as images: 1']
    assert f'{tmp_path}/rows/train/3' in found['error: train: empty files']
    assert ('error: train: images that are cut off: 1' in found) == ('--quick' not in options)


def test_a_dataset_that_cannot_be_opened(tmp_path, capsys):
    status, problems, text = check(capsys, *config(tmp_path, tmp_path / 'gone', 'HuggingFaceImages'))
    assert (status, cells(text)) == (1, [])
    assert problems[0].startswith('error: train: cannot be opened: 1 (')


@pytest.mark.parametrize('options', [(), ('--quick',)])
def test_multispectral_files_are_read_as_the_config_does(tmp_path, capsys, options):
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
