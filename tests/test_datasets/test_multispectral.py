"""Images of any number of channels, in TIFF and NumPy files."""

import io
import sys

import numpy as np
import pytest
import torch
from mmengine.registry import TRANSFORMS, init_default_scope

from mixmae_mm.datasets import CorruptImageError, LoadMultispectral, LoadMultispectralRandomResizedCrop
from mixmae_mm.datasets.transforms.random_resized_crop import resize
from mixmae_mm.utils.seed import seed_everything

KINDS = ['uint8', 'uint16', 'int16', 'float32']


def multispectral(dtype, shape=(9, 12, 5)):
    return (np.random.default_rng(0).random(shape) * 200).astype(dtype)


def array(pixels, **settings):
    file = io.BytesIO()
    np.save(file, pixels, **settings)
    return file.getvalue()


def tiff(pixels, **settings):
    tifffile = pytest.importorskip('tifffile', reason='needs tifffile')
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, **settings)
    return file.getvalue()


def load(content, **settings):
    results = LoadMultispectral(**settings)(dict(img_path='x', img_bytes=content))
    assert results['img_shape'] == results['ori_shape'] == results['img'].shape[:2]
    return results['img']


def planes(pixels):
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


GRAY = dict(photometric='minisblack')
WRITERS = {
    'npy': (array, {}),
    'npy, channels first': (lambda pixels: array(planes(pixels)), dict(channels_first=True)),
    'npy, the other byte order': (lambda pixels: array(pixels.astype(pixels.dtype.newbyteorder('>'))), {}),
    'tiff, side by side': (lambda pixels: tiff(pixels, planarconfig='contig', **GRAY), {}),
    'tiff, one after another': (lambda pixels: tiff(planes(pixels), planarconfig='separate', **GRAY), {}),
    'tiff, pages': (lambda pixels: tiff(planes(pixels), metadata=dict(axes='CYX'), **GRAY), {}),
    'bigtiff, deflated': (
        lambda pixels: tiff(pixels, planarconfig='contig', bigtiff=True, byteorder='>', compression='zlib', **GRAY), {}
    ),
}  # fmt: skip


@pytest.mark.parametrize('dtype', KINDS)
@pytest.mark.parametrize('kind', WRITERS)
def test_numbers_come_as_they_are(kind, dtype):
    write, settings = WRITERS[kind]
    pixels = multispectral(dtype)
    loaded = load(write(pixels), **settings)
    assert (loaded.dtype, loaded.dtype.isnative, loaded.flags.c_contiguous) == (np.dtype(dtype), True, True)
    assert np.array_equal(loaded, pixels)


@pytest.mark.parametrize('shape', [(9, 12), (1, 12), (9, 1)])
@pytest.mark.parametrize(('write', 'settings'), [(array, {}), (array, dict(channels_first=True)), (tiff, {})])
def test_a_single_channel(write, settings, shape):
    pixels = multispectral('uint16', shape)
    assert np.array_equal(load(write(pixels), **settings), pixels[..., None])


@pytest.mark.parametrize('dtype', ['float64', 'int32', 'int64'])
def test_long_numbers_become_float32(dtype):
    loaded = load(array(multispectral(dtype)))
    assert loaded.dtype == np.float32
    assert np.array_equal(loaded, multispectral(dtype).astype(np.float32))


def with_pixel(value, dtype='float32'):
    pixels = multispectral(dtype)
    pixels[3, 4, 1] = value
    return pixels


def test_chosen_channels_in_the_order_asked_for_and_others_may_hold_anything():
    assert np.array_equal(load(array(multispectral('uint8')), select=[4, 0, 4]), multispectral('uint8')[..., [4, 0, 4]])
    assert np.array_equal(load(array(with_pixel(np.nan)), select=[0, 2]), multispectral('float32')[..., [0, 2]])


@pytest.mark.parametrize(
    ('content', 'settings', 'message'),
    [
        (b'no image', {}, 'neither a TIFF nor an .npy file'),
        (array(multispectral('uint8')), dict(channels=4), '5 channels, and not 4'),
        (array(multispectral('uint8')), dict(select=[5]), 'out of bounds'),
        (array(with_pixel(np.nan)), {}, 'some pixels are not finite'),
        (array(with_pixel(1e300, 'float64')), {}, 'some pixels are not finite'),
        (array(multispectral('uint8')[None]), {}, r'array of uint8 \(1, 9, 12, 5\) is not an image'),
        (array(multispectral('uint8')[:0]), {}, r'array of uint8 \(0, 12, 5\) is not an image'),
        (array(multispectral('complex64')), {}, 'array of complex64 .* is not an image'),
        (array(np.array([[{}]]), allow_pickle=True), {}, 'allow_pickle=False'),
        (array(multispectral('uint8'))[:200], {}, 'cannot reshape|reshape array|expected'),
        (b'II*\0', {}, 'tifffile|TIFF|header|unpack'),
    ],
)
def test_what_is_no_image(content, settings, message):
    if content.startswith(b'II'):
        pytest.importorskip('tifffile', reason='needs tifffile')
    with pytest.raises(CorruptImageError, match=f'^x: .*{message}'):
        load(content, **settings)


def test_pages_that_are_not_channels():
    with pytest.raises(CorruptImageError, match=r'TCYX \(2, 3, 9, 12\)'):
        load(tiff(multispectral('uint8', (2, 3, 9, 12)), metadata=dict(axes='TCYX'), **GRAY))


def test_a_missing_library_is_no_corrupt_image(monkeypatch):
    content = tiff(multispectral('uint8', (9, 12)))
    monkeypatch.setitem(sys.modules, 'tifffile', None)
    with pytest.raises(ImportError, match='tifffile: pip install tifffile'):
        load(content)


@pytest.mark.parametrize('compression', [5, 50000])
def test_a_compression_that_needs_another_library_is_no_corrupt_image(monkeypatch, compression):
    """LZW and Zstandard: the number stands in the header, the pixels need not be so compressed to be refused."""
    monkeypatch.setitem(sys.modules, 'imagecodecs', None)
    content = bytearray(tiff(multispectral('uint8'), planarconfig='contig', **GRAY))
    monkeypatch.setattr(pytest.importorskip('tifffile').tifffile, 'imagecodecs', None)
    entry = content.index((259).to_bytes(2, 'little') + (3).to_bytes(2, 'little') + (1).to_bytes(4, 'little'))
    content[entry + 8 : entry + 10] = compression.to_bytes(2, 'little')
    with pytest.raises(ImportError, match='pip install imagecodecs'):
        load(bytes(content))


def test_a_fourth_channel_is_data_and_no_alpha():
    pixels = multispectral('uint8', (3, 4, 4))
    pixels[..., 3] = 0
    assert np.array_equal(load(array(pixels)), pixels)
    assert np.array_equal(load(tiff(pixels, photometric='rgb', extrasamples=['unassalpha'])), pixels)


@pytest.mark.parametrize(('dtype', 'result'), [('uint8', 'uint8'), ('uint16', 'float32'), ('float32', 'float32')])
def test_the_part_is_the_one_drawn(dtype, result):
    init_default_scope('mmpretrain')
    pixels = multispectral(dtype, (40, 50, 5))
    transform = LoadMultispectralRandomResizedCrop((8, 16), crop_ratio_range=(0.2, 1.0))
    seed_everything(4)
    results = transform(dict(img_path='x', img_bytes=array(pixels)))
    seed_everything(4)
    top, left, height, width = transform.crop.rand_crop_params(pixels[..., :3])
    part = pixels[top : top + height, left : left + width]
    assert (results['img'].dtype, results['img'].shape) == (np.dtype(result), (8, 16, 5))
    assert (results['ori_shape'], results['img_shape']) == ((40, 50), (8, 16))
    each = [resize(np.ascontiguousarray(part[..., i]).astype(result), (8, 16)) for i in range(5)]
    assert np.abs(results['img'].astype(float) - np.stack(each, axis=-1)).max() <= (1 if dtype == 'uint8' else 1e-3)
    inputs = TRANSFORMS.build(dict(type='mmpretrain.PackInputs'))(results)['inputs']
    assert torch.equal(inputs, torch.from_numpy(results['img'].copy()).permute(2, 0, 1))
