"""Reading random parts of images: the same as reading all and random_resized_crop, in less time."""

import cv2
import numpy as np
import pytest
from mmengine.registry import TRANSFORMS, init_default_scope
from PIL import Image

from mixmae_mm.datasets import LoadImage, LoadRandomResizedCrop
from mixmae_mm.datasets.transforms import random_resized_crop
from mixmae_mm.utils.seed import seed_everything

SIDE = 16


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmpretrain')


def smooth(height, width):
    """Pixels with structure at the scale of a fifth of the image."""
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (6, 5, 3), dtype=np.uint8))
    return noise.resize((width, height), Image.Resampling.BICUBIC)


def oriented(value):
    exif = Image.Exif()
    exif[0x0112] = value
    return dict(exif=exif)


FILES = {
    'jpeg': ('a.jpg', smooth(30, 41), {}),
    'gray jpeg': ('a.jpg', smooth(30, 41).convert('L'), {}),
    'four inks': ('a.jpg', smooth(30, 41).convert('CMYK'), {}),
    'turned': ('a.jpg', smooth(30, 41), oriented(6)),
    'turned tiff': ('a.tif', smooth(20, 60), oriented(6)),
    'progressive': ('a.jpg', smooth(30, 31), dict(progressive=True)),
    'png': ('a.png', smooth(50, 31), {}),
}


def in_two_steps(mode, scale=SIDE):
    crop = dict(type='mmpretrain.RandomResizedCrop', scale=scale, crop_ratio_range=(0.2, 1.0))
    crop = TRANSFORMS.build(dict(crop, backend='pillow', interpolation='bicubic'))
    return lambda results: crop(LoadImage(mode)(results))


@pytest.mark.parametrize('mode', ['RGB', 'BGR', 'L'])
@pytest.mark.parametrize('kind', FILES)
def test_it_is_reading_and_cropping(tmp_path, kind, mode):
    name, image, options = FILES[kind]
    image.save(tmp_path / name, **options)
    one = LoadRandomResizedCrop((SIDE, SIDE + 4), mode, crop_ratio_range=(0.2, 1.0))
    two = in_two_steps(mode, (SIDE, SIDE + 4))
    for seed in range(10):
        results = []
        for load in (one, two):
            seed_everything(seed)
            results.append((load(dict(img_path=str(tmp_path / name))), np.random.rand()))
        (ours, next_draw), (theirs, same_draw) = results
        assert next_draw == same_draw
        assert ours['img'].dtype == np.uint8
        assert ours['img'].shape == theirs['img'].shape
        difference = np.abs(ours['img'].astype(int) - theirs['img'])
        assert difference.max() <= 2
        assert (difference > 1).mean() < 0.01  # pillow 13 resizes some shapes otherwise than 12
        assert (ours['img_shape'], ours['ori_shape']) == (theirs['img_shape'][:2], theirs['ori_shape'])


@pytest.mark.parametrize(('side', 'reduced'), [(31, 1), (32, 2), (63, 2), (64, 4), (200, 8), (4000, 8)])
def test_large_parts_are_decoded_at_a_fraction_of_their_size(tmp_path, monkeypatch, side, reduced):
    width = 2 * side
    smooth(side, width).save(tmp_path / 'a.jpg', quality=95)
    flags, decode = [], cv2.imdecode
    monkeypatch.setattr(random_resized_crop.cv2, 'imdecode', lambda *args: flags.append(args[1]) or decode(*args))
    load = LoadRandomResizedCrop(SIDE, crop_ratio_range=(1.0, 1.0), aspect_ratio_range=(2.0, 2.0))
    ours = load(dict(img_path=str(tmp_path / 'a.jpg')))
    expected = np.asarray(smooth(side, width).resize((SIDE, SIDE), Image.Resampling.BICUBIC)).astype(int)
    assert flags == [random_resized_crop.REDUCED[reduced] | cv2.IMREAD_IGNORE_ORIENTATION]
    assert np.abs(ours['img'] - expected).mean() < 3
    assert np.abs(ours['img'] - expected).max() < 40
    assert ours['ori_shape'] == (side, width)


def test_a_reduced_part_is_the_one_that_was_drawn(tmp_path, monkeypatch):
    """A ramp tells from which rows and columns its pixels are."""
    rows, columns = np.meshgrid(np.linspace(0, 255, 256), np.linspace(0, 255, 256), indexing='ij')
    ramp = np.stack([rows, columns, np.zeros_like(rows)], axis=-1).round().astype(np.uint8)
    Image.fromarray(ramp).save(tmp_path / 'a.jpg', quality=100, subsampling=0)
    load = LoadRandomResizedCrop(SIDE)
    monkeypatch.setattr(load.crop, 'rand_crop_params', lambda img: (101, 30, 130, 67))  # top, left, height, width
    part = load(dict(img_path=str(tmp_path / 'a.jpg')))['img'].astype(float)
    centers = (np.arange(SIDE) + 0.5) / SIDE
    assert np.abs(part[:, 8, 0] - (101 + 130 * centers)).max() < 8  # decoded at a quarter: true to 4 pixels
    assert np.abs(part[8, :, 1] - (30 + 67 * centers)).max() < 8
    assert np.abs(part[1:-1, 8, 0] - (101 + 130 * centers[1:-1])).mean() < 3
