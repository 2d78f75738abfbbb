"""Reading single images."""

import numpy as np
import pytest
from PIL import Image

from mixmae_mm.datasets import CorruptImageError, LoadImage

PIXELS = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)


@pytest.mark.parametrize(('mode', 'expected'), [('RGB', PIXELS), ('BGR', PIXELS[..., ::-1])])
def test_pixels_and_size(tmp_path, mode, expected):
    Image.fromarray(PIXELS).save(tmp_path / 'a.png')
    results = LoadImage(mode)(dict(img_path=str(tmp_path / 'a.png')))
    assert np.array_equal(results['img'], expected)
    assert results['img'].flags.writeable
    assert results['img_shape'] == results['ori_shape'] == (5, 7)


@pytest.mark.parametrize(
    ('content', 'message'),
    [(b'not pixels', 'x.jpg: not an image, whatever its name says$'), (None, 'x.jpg: FileNotFoundError: ')],
)
def test_what_is_no_image(tmp_path, content, message):
    if content:
        (tmp_path / 'x.jpg').write_bytes(content)
    with pytest.raises(CorruptImageError, match=message):
        LoadImage()(dict(img_path=str(tmp_path / 'x.jpg')))


def test_an_unknown_mode_is_refused():
    with pytest.raises(ValueError, match="^mode must be 'RGB' or 'BGR' .*, or 'L' .*, got 'CMYK'$"):
        LoadImage('CMYK')


def test_an_image_in_memory_is_taken_as_bgr():
    """As mmpretrain's inferencers hand over both files and arrays."""
    taken = {mode: LoadImage(mode)(dict(img=PIXELS, img_shape=(1, 1))) for mode in ('BGR', 'RGB', 'L')}
    assert np.array_equal(taken['BGR']['img'], PIXELS)
    assert np.array_equal(taken['RGB']['img'], PIXELS[..., ::-1])
    gray = PIXELS[..., 2] * 0.299 + PIXELS[..., 1] * 0.587 + PIXELS[..., 0] * 0.114
    assert np.abs(taken['L']['img'] - gray).max() <= 1
    assert all((of['ori_shape'], of['img_shape']) == ((5, 7), (5, 7)) for of in taken.values())
    assert np.array_equal(LoadImage('BGR')(dict(img=PIXELS[..., 0]))['img'], np.repeat(PIXELS[..., :1], 3, axis=2))
