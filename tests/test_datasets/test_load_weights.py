"""Maps of weights from files: they are cropped, resized and flipped with their image."""

import shutil

import numpy as np
import pytest
import torch
from mmengine.dataset import Compose
from PIL import Image

from mixmae_mm.datasets import CorruptImageError, LoadWeights, SeededIndex


@pytest.fixture
def folders(tmp_path):
    """An image whose map is its own gray values, in a subfolder, by PNG and .npy."""
    gray = np.random.default_rng(0).integers(0, 256, (5, 6), np.uint8)
    gray = np.array(Image.fromarray(gray).resize((48, 40), Image.Resampling.BICUBIC))
    for name in ('images', 'maps'):
        (tmp_path / name / 'a').mkdir(parents=True)
    Image.fromarray(np.repeat(gray[..., None], 3, 2)).save(tmp_path / 'images/a/1.bmp')
    Image.fromarray(gray).save(tmp_path / 'maps/a/1.png')
    np.save(tmp_path / 'maps/a/1.npy', gray.astype(np.float32) / 255)
    for suffix in ('.png', '.npy'):
        shutil.copy(tmp_path / f'maps/a/1{suffix}', tmp_path / f'maps/a/1_w{suffix}')
    return tmp_path


def pipeline(folders, suffix='.png', *more):
    load = dict(type='mixmae_mm.LoadWeights', images=f'{folders}/images', maps=f'{folders}/maps', suffix=suffix)
    steps = [dict(type='mixmae_mm.SeedSample'), dict(type='mixmae_mm.LoadImage'), load, *more]
    return Compose([*steps, dict(type='mmpretrain.PackInputs')])


def sample(folders, seed=0):
    return dict(img_path=f'{folders}/images/a/1.bmp', sample_idx=SeededIndex(0, seed))


@pytest.mark.parametrize(
    ('suffix', 'dtype', 'unit'),
    [
        ('.png', torch.uint8, 1),
        ('.npy', torch.float32, 255),
        ('_w.png', torch.uint8, 1),
        ('_w.npy', torch.float32, 255),
    ],
)
def test_a_map_becomes_the_last_channel_and_follows_crops_and_flips(folders, suffix, dtype, unit):
    pytest.importorskip('mmpretrain', reason='its transforms crop and flip')
    whole = pipeline(folders, suffix)(sample(folders))['inputs']
    assert (whole.shape, whole.dtype) == ((4, 40, 48), dtype)
    crop = dict(type='mmpretrain.RandomResizedCrop', scale=16, crop_ratio_range=(0.2, 0.5))
    moved = pipeline(folders, suffix, crop, dict(type='mmpretrain.RandomFlip', prob=0.5))
    parts = [moved(sample(folders, number))['inputs'].float() for number in range(4)]
    for part in [whole.float(), *parts]:
        torch.testing.assert_close(part[3] * unit, part[0], atol=1.0, rtol=0)
    assert len({part.sum().item() for part in parts}) == 4


def test_an_image_without_a_fitting_map_is_corrupt(folders):
    load = LoadWeights(f'{folders}/images', f'{folders}/maps')
    results = dict(img_path=f'{folders}/images/a/1.bmp', img=np.zeros((40, 48, 3), np.uint8))
    assert load(dict(results))['img'].shape == (40, 48, 4)
    with pytest.raises(CorruptImageError, match=r'1\.png: .*\(40, 48\), expected \(48, 40\)'):
        load(results | dict(img=np.zeros((48, 40, 3), np.uint8)))
    with pytest.raises(CorruptImageError, match='2.png'):
        load(results | dict(img_path=f'{folders}/images/a/2.bmp'))
