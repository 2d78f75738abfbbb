"""Broken files give one kind of error or the pixels of the intact file; none crashes or fills up memory.

`EXAMPLES=20000 pytest tests/test_datasets/test_broken_images.py` tries more.
"""

import os
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from image_files import chunk, saved
from PIL import Image, ImageFilter

from mixmae_mm.datasets import CorruptImageError, LoadImage, LoadRandomResizedCrop

EXAMPLES = int(os.environ.get('EXAMPLES', 60))
MANY = settings(max_examples=EXAMPLES, deadline=None, derandomize=True, database=None)
NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 28, 3), dtype=np.uint8))
IMAGE = NOISE.filter(ImageFilter.GaussianBlur(1))
FILES = {kind: saved(IMAGE, kind) for kind in ('JPEG', 'PNG', 'BMP', 'TIFF', 'WEBP', 'PPM', 'GIF')}
FILES['progressive'] = saved(IMAGE, 'JPEG', progressive=True)
FILES['LZW'] = saved(IMAGE, 'TIFF', compression='tiff_lzw')


@pytest.fixture(scope='module', params=['whole', 'crop'])
def read(request, tmp_path_factory):
    """Return a function that reads bytes with a loader: pixels, or None if the file is reported as corrupt."""
    whole = request.param == 'whole'
    settings = dict(scale=(20, 28), crop_ratio_range=(1.0, 1.0), aspect_ratio_range=(1.4, 1.4))  # all of it
    loader = LoadImage() if whole else LoadRandomResizedCrop(**settings)
    path = tmp_path_factory.mktemp('broken') / 'image'

    def read_back(content):
        path.write_bytes(content)
        try:
            pixels = loader(dict(img_path=str(path)))['img']
        except CorruptImageError:
            return None
        assert (pixels.dtype, pixels.ndim, pixels.shape[2]) == (np.uint8, 3, 3)
        return pixels

    return read_back


@pytest.mark.parametrize('kind', FILES)
def test_files_cut_off_anywhere(read, kind):
    """A cut file gives its pixels only if the cut is behind them."""
    content = FILES[kind]
    pixels = read(content)
    assert pixels.shape == (20, 28, 3)
    step = 1 if EXAMPLES > 1000 else 7
    for length in (*range(0, len(content) - 40, step), *range(len(content) - 40, len(content))):
        cut = read(content[:length])
        assert cut is None or np.array_equal(cut, pixels), f'{length} of {len(content)} bytes'


CHANGES = st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=8)


@MANY
@given(st.sampled_from(list(FILES)), CHANGES)
def test_changed_bytes(read, kind, changes):
    content = bytearray(FILES[kind])
    for where, byte in changes:
        content[where % len(content)] = byte
    read(bytes(content))


def claim(kind, width, height):
    """Return a file of a few hundred bytes that claims this size."""
    if kind == 'PNG':
        header = chunk(b'IHDR', struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0))
        return b'\x89PNG\r\n\x1a\n' + header + chunk(b'IDAT', zlib.compress(bytes(1000))) + chunk(b'IEND', b'')
    content = bytearray(FILES[kind])
    marker = content.index(b'\xff\xc0' if kind == 'JPEG' else b'\xff\xc2')
    content[marker + 5 : marker + 9] = struct.pack('>HH', height, width)
    return bytes(content)


@pytest.mark.parametrize('kind', ['PNG', 'JPEG', 'progressive'])
@pytest.mark.parametrize('side', [0, 60_000, 13_000])
def test_sizes_that_are_claimed(read, kind, side):
    """0: no pixels; 60,000: too large for memory; 13,000: Pillow alone would warn, and libjpeg fill up with gray."""
    assert read(claim(kind, side, side)) is None


def test_other_formats_are_left_alone(read):
    """Pillow would run the contents of an EPS file with Ghostscript."""
    assert read(saved(IMAGE, 'EPS')) is None
