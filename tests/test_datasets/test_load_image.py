"""Reading single images."""

import io

import numpy as np
import pytest
from PIL import Image

from mixmae_mm.datasets import CorruptImageError, LoadImage


@pytest.fixture
def read(tmp_path):
    """Write an array or a Pillow image as a file, and load it."""

    def read_back(image, name='a.png', mode='RGB', **options):
        image = image if isinstance(image, Image.Image) else Image.fromarray(image)
        image.save(tmp_path / name, **options)
        return LoadImage(mode)(dict(img_path=str(tmp_path / name)))

    return read_back


PIXELS = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)


def test_pixels_and_size(read):
    results = read(PIXELS)
    assert np.array_equal(results['img'], PIXELS)
    assert results['img'].flags.writeable
    assert results['img_shape'] == results['ori_shape'] == (5, 7)


def test_a_gray_image_gets_three_equal_channels(read):
    assert np.array_equal(read(PIXELS[..., 0])['img'], PIXELS[..., [0, 0, 0]])


def test_one_channel_of_a_gray_image(read):
    assert np.array_equal(read(PIXELS[..., 0], mode='L')['img'], PIXELS[..., 0])


def test_reversed_channels(read):
    assert np.array_equal(read(PIXELS, mode='BGR')['img'], PIXELS[..., [2, 1, 0]])


def test_cameras_orientation_is_honoured(read):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    results = read(PIXELS, exif=exif)
    assert np.array_equal(results['img'], np.rot90(PIXELS, -1))
    assert results['img_shape'] == (7, 5)


def test_text_is_no_image(tmp_path):
    path = tmp_path / 'notes.jpg'
    path.write_text('not pixels')
    with pytest.raises(CorruptImageError) as error:
        LoadImage()(dict(img_path=str(path)))
    assert str(error.value) == f'{path}: not an image, whatever its name says'


def test_a_cut_jpeg_is_no_image(tmp_path):
    content = io.BytesIO()
    Image.fromarray(np.tile(PIXELS, (20, 20, 1))).save(content, 'jpeg')
    path = tmp_path / 'half.jpg'
    path.write_bytes(content.getvalue()[: content.tell() // 2])
    with pytest.raises(CorruptImageError, match=r'half\.jpg: OSError: image file is truncated'):
        LoadImage()(dict(img_path=str(path)))


def test_a_file_that_went_away(tmp_path):
    with pytest.raises(CorruptImageError, match='FileNotFoundError'):
        LoadImage()(dict(img_path=str(tmp_path / 'gone.jpg')))


def test_an_unknown_mode_is_refused():
    message = r"^mode must be 'RGB' or 'BGR' \(3 channels\), or 'L' \(1 channel, gray\), got 'CMYK'$"
    with pytest.raises(ValueError, match=message):
        LoadImage('CMYK')


def test_an_image_in_memory_is_taken_as_bgr():
    """As mmpretrain's inferencers hand over both files and arrays."""
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    taken = {mode: LoadImage(mode)(dict(img=image, img_shape=(1, 1))) for mode in ('BGR', 'RGB', 'L')}
    assert np.array_equal(taken['BGR']['img'], image)
    assert np.array_equal(taken['RGB']['img'], image[..., ::-1])
    gray = image[..., 2] * 0.299 + image[..., 1] * 0.587 + image[..., 0] * 0.114
    assert np.abs(taken['L']['img'] - gray).max() <= 1
    assert all((of['ori_shape'], of['img_shape']) == ((5, 7), (5, 7)) for of in taken.values())
    assert np.array_equal(LoadImage('BGR')(dict(img=image[..., 0]))['img'], np.repeat(image[..., :1], 3, axis=2))
