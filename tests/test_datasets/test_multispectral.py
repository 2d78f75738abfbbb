"""Images of any number of bands, in TIFF and NumPy files."""

import io
import sys

import numpy as np
import pytest
import torch
from mmengine.registry import TRANSFORMS, init_default_scope

from mixmae_mm.datasets import CorruptImageError, ImageFolder, LoadMultispectral, LoadMultispectralRandomResizedCrop
from mixmae_mm.datasets.transforms.random_resized_crop import resize
from mixmae_mm.utils.seed import seed_everything

KINDS = ['uint8', 'uint16', 'int16', 'float32']


def bands(dtype, shape=(9, 12, 5)):
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


WRITERS = {
    'npy': (array, {}),
    'npy, channels first': (lambda pixels: array(planes(pixels)), dict(channels_first=True)),
    'npy, the other byte order': (lambda pixels: array(pixels.astype(pixels.dtype.newbyteorder('>'))), {}),
    'tiff, side by side': (lambda pixels: tiff(pixels, planarconfig='contig', photometric='minisblack'), {}),
    'tiff, one after another': (
        lambda pixels: tiff(planes(pixels), planarconfig='separate', photometric='minisblack'), {}
    ),
    'tiff, pages': (lambda pixels: tiff(planes(pixels), photometric='minisblack', metadata=dict(axes='CYX')), {}),
    'bigtiff, deflated': (lambda pixels: tiff(pixels, planarconfig='contig', photometric='minisblack',
                                              bigtiff=True, byteorder='>', compression='zlib'), {}),
}  # fmt: skip


@pytest.mark.parametrize('dtype', KINDS)
@pytest.mark.parametrize('kind', WRITERS)
def test_numbers_come_as_they_are(kind, dtype):
    write, settings = WRITERS[kind]
    pixels = bands(dtype)
    loaded = load(write(pixels), **settings)
    assert (loaded.dtype, loaded.dtype.isnative, loaded.flags.c_contiguous) == (np.dtype(dtype), True, True)
    assert np.array_equal(loaded, pixels)


@pytest.mark.parametrize(('write', 'settings'), [(array, {}), (array, dict(channels_first=True)), (tiff, {})])
def test_a_single_band(write, settings):
    pixels = bands('uint16', (9, 12))
    assert np.array_equal(load(write(pixels), **settings), pixels[..., None])


@pytest.mark.parametrize('dtype', ['float64', 'int32', 'int64'])
def test_long_numbers_become_float32(dtype):
    loaded = load(array(bands(dtype)))
    assert loaded.dtype == np.float32
    assert np.array_equal(loaded, bands(dtype).astype(np.float32))


def test_chosen_bands_in_the_order_asked_for():
    assert np.array_equal(load(array(bands('uint8')), bands=[4, 0, 4]), bands('uint8')[..., [4, 0, 4]])


def with_pixel(value, dtype='float32'):
    pixels = bands(dtype)
    pixels[3, 4, 1] = value
    return pixels


@pytest.mark.parametrize(
    ('content', 'settings', 'message'),
    [
        (b'no bands', {}, 'neither a TIFF nor an .npy file, whatever its name says'),
        (array(bands('uint8')), dict(channels=4), '5 channels, and not 4'),
        (array(bands('uint8')), dict(bands=[5]), 'out of bounds'),
        (array(with_pixel(np.nan)), {}, 'some pixels are not finite numbers'),
        (array(with_pixel(-np.inf)), {}, 'some pixels are not finite numbers'),
        (array(with_pixel(1e300, 'float64')), {}, 'some pixels are not finite numbers'),
        (array(bands('uint8')[None]), {}, r'an array \(1, 9, 12, 5\) is not an image'),
        (array(bands('uint8')[:0]), {}, r'an array \(0, 12, 5\) is not an image'),
        (array(bands('complex64')), {}, 'pixels of type complex64 are not an image'),
        (array(np.array([[{}]]), allow_pickle=True), {}, 'allow_pickle=False'),
        (array(bands('uint8'))[:200], {}, 'cannot reshape|reshape array|expected'),
        (b'II*\0', {}, 'TIFF|header|unpack'),
    ],
)
def test_what_is_no_image(content, settings, message):
    if content.startswith(b'II'):
        pytest.importorskip('tifffile', reason='needs tifffile')
    with pytest.raises(CorruptImageError, match=f'^x: .*{message}'):
        load(content, **settings)


def test_pages_that_are_not_channels():
    with pytest.raises(CorruptImageError, match=r'holds TCYX \(2, 3, 9, 12\), not rows, columns and channels'):
        load(tiff(bands('uint8', (2, 3, 9, 12)), photometric='minisblack', metadata=dict(axes='TCYX')))


def test_a_band_that_is_not_taken_may_hold_anything():
    assert np.array_equal(load(array(with_pixel(np.nan)), bands=[0, 2]), bands('float32')[..., [0, 2]])


def test_a_missing_library_is_no_broken_image(monkeypatch):
    content = tiff(bands('uint8', (9, 12)))
    monkeypatch.setitem(__import__('sys').modules, 'tifffile', None)
    with pytest.raises(ImportError, match='reading multispectral TIFF files needs tifffile: pip install tifffile'):
        load(content)


@pytest.mark.parametrize('compression', [5, 50000])
def test_a_compression_that_needs_another_library_is_no_broken_image(monkeypatch, compression):
    """LZW and Zstandard: the number stands in the header, the pixels need not be so compressed to be refused."""
    monkeypatch.setitem(sys.modules, 'imagecodecs', None)
    content = bytearray(tiff(bands('uint8'), planarconfig='contig', photometric='minisblack'))
    monkeypatch.setattr(pytest.importorskip('tifffile').tifffile, 'imagecodecs', None)
    entry = content.index((259).to_bytes(2, 'little') + (3).to_bytes(2, 'little') + (1).to_bytes(4, 'little'))
    content[entry + 8 : entry + 10] = compression.to_bytes(2, 'little')
    with pytest.raises(ImportError, match='needs imagecodecs: pip install imagecodecs'):
        load(bytes(content))


def test_a_fourth_band_is_data_and_no_alpha():
    pixels = bands('uint8', (3, 4, 4))
    pixels[..., 3] = 0
    assert np.array_equal(load(array(pixels)), pixels)
    settings = dict(photometric='rgb', extrasamples=['unassalpha'])
    assert np.array_equal(load(tiff(pixels, **settings)), pixels)


def test_bands_that_are_not_a_list_of_numbers():
    with pytest.raises(ValueError, match='^bands must be a list of 1 or more entries, got 2$'):
        LoadMultispectral(bands=2)
    with pytest.raises(ValueError, match=r'^bands\[1\] must be a whole number, 0 or more, got -1$'):
        LoadMultispectral(bands=[0, -1])


@pytest.mark.parametrize(('dtype', 'result'), [('uint8', 'uint8'), ('uint16', 'float32'), ('float32', 'float32')])
def test_the_part_is_the_one_drawn(dtype, result):
    init_default_scope('mmpretrain')
    pixels = bands(dtype, (40, 50, 5))
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


def test_a_folder_of_arrays(tmp_path):
    for name in ('a.NPY', 'b/c.npy'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(array(bands('uint8')))
    (tmp_path / 'd.png').write_bytes(b'')
    folder = ImageFolder(str(tmp_path), [LoadMultispectral()], extensions=['.npy'], cache=str(tmp_path / '.cache'))
    assert [folder[i]['img_path'] for i in range(len(folder))] == [f'{tmp_path}/a.NPY', f'{tmp_path}/b/c.npy']
    with pytest.raises(ValueError, match=r'images end in \.tiff \(in'):
        ImageFolder(str(tmp_path), extensions=['.TIFF'])
    for wrong in ('.npy', [], ['npy'], ['.tar.gz']):
        with pytest.raises(ValueError, match="^extensions are a list of such as '.npy', with one dot, got "):
            ImageFolder(str(tmp_path), extensions=wrong)
