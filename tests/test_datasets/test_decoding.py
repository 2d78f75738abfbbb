"""Pixels of every kind of file, by hand; the same for all our transforms."""

import numpy as np
import pytest
from image_files import BROKEN, KINDS, PIXELS, chunk, exif, jpeg, png, rgb_png, saved
from mmengine.registry import init_default_scope
from PIL import Image

from mixmae_mm.datasets import CorruptImageError, LoadImage, LoadRandomResizedCrop
from mixmae_mm.datasets.decoding import FORMATS
from mixmae_mm.datasets.file_list import EXTENSIONS


def load(content, **settings):
    return LoadImage(**settings)(dict(img_path='x', img_bytes=content))['img']


@pytest.mark.parametrize('kind', KINDS)
def test_each_kind_of_file_gives_the_pixels_that_are_seen(kind):
    content, expected = KINDS[kind]
    assert np.array_equal(load(content), expected)
    results = LoadImage('BGR')(dict(img_path='x', img_bytes=content))
    assert np.array_equal(results['img'], np.asarray(expected)[..., ::-1])
    assert results['img_shape'] == results['ori_shape'] == np.shape(expected)[:2]
    seen = Image.fromarray(np.asarray(expected, np.uint8)).convert('L')
    assert np.array_equal(load(content, mode='L'), seen)


@pytest.mark.parametrize('kind', KINDS)
def test_a_crop_of_the_whole_image_is_the_image(kind):
    init_default_scope('mmpretrain')
    content, expected = KINDS[kind]
    height, width = np.shape(expected)[:2]
    ratio = (width / height,) * 2
    crop = LoadRandomResizedCrop((height, width), crop_ratio_range=(1.0, 1.0), aspect_ratio_range=ratio)
    assert np.array_equal(crop(dict(img_path='x', img_bytes=content))['img'], expected)


@pytest.mark.parametrize(
    ('pixels', 'named'),
    [(np.float32([[0.5]]), 'float32'), (np.int32([[70_000]]), '70000'), (np.int32([[-1]]), 'from -1 to -1')],
)
def test_numbers_of_unknown_range_are_refused(pixels, named):
    with pytest.raises(CorruptImageError, match=f'{named}.* 8 or 16 bits .*LoadMultispectral'):
        load(saved(pixels, 'TIFF'))


@pytest.mark.parametrize('kind', BROKEN)
def test_broken_metadata_is_ignored(kind):
    content = BROKEN[kind]
    seen = load(saved(PIXELS, 'JPEG')) if content.startswith(b'\xff\xd8') else PIXELS
    assert np.array_equal(load(content), seen)
    init_default_scope('mmpretrain')
    crop = LoadRandomResizedCrop((5, 7), crop_ratio_range=(1.0, 1.0), aspect_ratio_range=(1.4, 1.4))
    assert np.abs(crop(dict(img_path='x', img_bytes=content))['img'].astype(int) - seen).max() <= 1


def test_a_good_orientation_beside_broken_metadata_is_honored():
    segments = (0xE1, exif(6)['exif'].tobytes()), (0xE2, b'ICC_PROFILE\0')
    assert np.array_equal(load(jpeg(*segments)), np.rot90(load(jpeg()), -1))
    chunks = chunk(b'eXIf', exif(6)['exif'].tobytes()[6:]) + chunk(b'pHYs', b'12')
    assert np.array_equal(load(rgb_png(chunks)), np.rot90(PIXELS, -1))


def test_broken_pixels_are_not_excused():
    whole = rgb_png(chunk(b'pHYs', b'12'))
    damaged = whole[:-30] + bytes([whole[-30] ^ 255]) + whole[-29:]
    for content in (damaged, whole[:-30], jpeg((0xE0, b'JFIF\0\1'))[:-40]):
        with pytest.raises(CorruptImageError):
            load(content)


@pytest.mark.parametrize('kind', ['JPEG', 'PNG', 'TIFF', 'WEBP'])
@pytest.mark.parametrize('orientation', range(1, 9))
def test_all_orientations_come_upright(kind, orientation):
    """As the standard says where the first row and the first column of what is stored lie."""
    upright = {
        1: PIXELS, 2: PIXELS[:, ::-1], 3: PIXELS[::-1, ::-1], 4: PIXELS[::-1],
        5: PIXELS.transpose(1, 0, 2), 6: PIXELS[::-1].transpose(1, 0, 2),
        7: PIXELS[::-1, ::-1].transpose(1, 0, 2), 8: PIXELS[:, ::-1].transpose(1, 0, 2),
    }[orientation]  # fmt: skip
    loss = dict(quality=100, subsampling=0) if kind == 'JPEG' else {}
    options = exif(orientation) | loss | (dict(lossless=True) if kind == 'WEBP' else {})
    pixels = load(saved(PIXELS, kind, **options))
    assert pixels.shape == upright.shape
    assert np.abs(pixels.astype(int) - upright).max() <= (4 if kind == 'JPEG' else 0)


def test_a_compression_that_pillow_was_built_without_is_not_corrupt(monkeypatch):
    monkeypatch.delattr(Image.core, 'zip_decoder')
    with pytest.raises(ImportError, match='zip.*pip install'):
        load(rgb_png())


def test_each_extension_is_of_a_format_that_is_read():
    Image.init()
    known = Image.registered_extensions()
    assert {known[extension] for extension in EXTENSIONS} <= set(FORMATS)


def test_the_most_pixels_are_a_setting(monkeypatch):
    content = png((30, 40), 1, 0, [bytes(5)] * 30)
    assert load(content, max_pixels=1200).shape == (30, 40, 3)
    with pytest.raises(CorruptImageError, match='40 x 30 pixels exceed max_pixels=1,199'):
        load(content, max_pixels=1199)
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 500)  # Pillow refuses twice that
    assert load(content).shape == (30, 40, 3)
    assert load(saved(np.zeros((64, 64), np.uint8), 'JPEG'), max_pixels=None).shape == (64, 64, 3)


@pytest.mark.parametrize('name', ['WEBP', 'AVIF'])
def test_a_format_that_pillow_was_built_without_is_not_corrupt(monkeypatch, name):
    plugin = pytest.importorskip(f'PIL.{name.title()}ImagePlugin' if name == 'AVIF' else 'PIL.WebPImagePlugin')
    content = saved(PIXELS, name)
    monkeypatch.setattr(plugin, 'SUPPORTED', False)
    with pytest.raises(ImportError, match=f'{name}.*pip install'):
        load(content)
    monkeypatch.delitem(Image.OPEN, name)
    with pytest.raises(ImportError if name == 'AVIF' else CorruptImageError):
        load(content)


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
    with pytest.raises(ValueError, match="^mode .*'RGB' .*'BGR' .*'L' .*got 'CMYK'$"):
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
