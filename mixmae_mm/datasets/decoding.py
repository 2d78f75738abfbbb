"""Decoding of photos by Pillow, from a file's bytes to upright pixels of 8 bits."""

import io
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageCms, UnidentifiedImageError, features

from mixmae_mm.datasets.metadata import TURNS, orientation_of

FORMATS = ('JPEG', 'PNG', 'BMP', 'DIB', 'WEBP', 'TIFF', 'PPM', 'GIF', 'JPEG2000', 'AVIF')
"""Formats that are decoded, whatever the names; for some others Pillow would run programs such as Ghostscript."""

MAX_PIXELS = 2 * 89_478_485
"""The most pixels of an image unless a setting allows more: where Pillow itself stops."""

PIXELS_A_BYTE = 1000
"""More pixels than a byte of JPEG can hold, in which a block of 8 x 8 of one channel takes a bit at the least."""

BACKGROUND = (255, 255, 255)
"""The color behind transparent pixels: white, as on a page."""

OPTIONAL = {'avif': (4, b'ftypavi'), 'webp': (8, b'WEBP')}
"""What some builds of Pillow lack, with the place and the bytes by which such files are known."""

KEY_SCALES = {'L;2': 85, 'L;4': 17, 'RGB;16B': 1 / 256}
"""PNG files name their transparent color in bits of their own, and Pillow leaves it at that."""

_LIMIT = threading.Lock()
# a process forked while another thread holds it would wait for ever
os.register_at_fork(before=_LIMIT.acquire, after_in_parent=_LIMIT.release, after_in_child=_LIMIT.release)


def open_image(content: bytes | BinaryIO, max_pixels: int | None = MAX_PIXELS) -> Image.Image:
    """Open a file's bytes, without decoding them; of several images in a file the first.

    Args:
        content: The file, or all that it holds.
        max_pixels: The most pixels that its header may declare; None for any number.

    Raises:
        UnidentifiedImageError: The bytes are of none of the `FORMATS`.
        ImportError: Pillow was built without this format.
        ValueError: More pixels than allowed, or far more than so few bytes can hold: the file is corrupt.
    """
    file = io.BytesIO(content) if isinstance(content, bytes) else content
    try:
        with _without_pillows_limit():
            image = Image.open(file, formats=_formats())
    except UnidentifiedImageError:
        file.seek(0)
        _check_build(file.read(16))
        raise
    width, height = image.size
    if max_pixels is None:
        return image
    if width * height > max_pixels:
        raise ValueError(f'{width} x {height} pixels are more than max_pixels={max_pixels:,}: set it higher or None')
    size = file.seek(0, io.SEEK_END) if image.format == 'JPEG' else 0
    if image.format == 'JPEG' and width * height > PIXELS_A_BYTE * size:
        raise ValueError(f'{size} bytes of JPEG cannot hold {width} x {height} pixels')
    return image


@cache
def _formats() -> tuple[str, ...]:
    """Return those of our formats that this build of Pillow knows."""
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


@contextmanager
def _without_pillows_limit() -> Iterator[None]:
    """Lift Pillow's limit of pixels, which holds for the whole process; ours is checked instead."""
    with _LIMIT:
        before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = before


def _check_build(content: bytes) -> None:
    """Check that an unidentified file is not of a format that this Pillow lacks."""
    for name, (start, mark) in OPTIONAL.items():
        if content[start : start + len(mark)] == mark and not features.check(name):
            raise ImportError(f"this Pillow reads no {name.upper()} files: pip install --upgrade 'pillow>=11.3'")


def upright_pixels(image: Image.Image, mode: str = 'RGB') -> np.ndarray:
    """Decode an opened image, turn it upright and bring it to 8 bits: (H, W, 3) in 'RGB', (H, W) in 'L'.

    Transparent pixels lie on `BACKGROUND`; of 16 bits the upper eight are kept.

    Raises:
        ValueError: Pixels are floats or integers above 16 bits, whose range is unknown.
    """
    scale = KEY_SCALES.get(image.tile[0][3]) if image.format == 'PNG' and getattr(image, 'tile', None) else None
    image.load()
    turn = TURNS.get(orientation_of(image))
    image = _eight_bits(image if turn is None else image.transpose(turn))
    if image.has_transparency_data:
        image = _on_background(image, scale)
    if image.mode == 'LAB':
        image = ImageCms.applyTransform(image, _lab_to_rgb())
    return np.array(image if image.mode == mode else image.convert(mode))


def _eight_bits(image: Image.Image) -> Image.Image:
    """Keep the upper half of 16-bit pixels, where Pillow's own conversion would make nearly all of them white."""
    if not image.mode.startswith(('I', 'F')):
        return image
    pixels = np.asarray(image)
    if image.mode == 'F' or pixels.min() < 0 or pixels.max() >= 2**16:
        kind = 'floating point numbers' if image.mode == 'F' else f'integers from {pixels.min()} to {pixels.max()}'
        raise ValueError(
            f'pixels are {kind}: save the image with 8 or 16 bits a channel, or read it as it is by '
            'mixmae_mm.LoadMultispectral'
        )
    gray = Image.fromarray((pixels >> 8).astype(np.uint8))
    if 'transparency' in image.info:
        gray.putalpha(Image.fromarray(np.uint8(255) * (pixels != image.info['transparency'])))
    return gray


def _on_background(image: Image.Image, scale: float | None) -> Image.Image:
    """Put an image with transparent pixels on the background; `scale` brings its transparent color to 8 bits."""
    if scale is not None and 'transparency' in image.info:
        key = image.info['transparency']
        image.info['transparency'] = tuple(int(x * scale) for x in key) if isinstance(key, tuple) else int(key * scale)
    if image.mode in ('RGBa', 'La'):  # premultiplied
        image = image.convert(image.mode.upper())
    image = image.convert('RGBA')
    canvas = Image.new('RGB', image.size, BACKGROUND)
    canvas.paste(image.convert('RGB'), mask=image.getchannel('A'))
    return canvas


@cache
def _lab_to_rgb() -> ImageCms.ImageCmsTransform:
    """Return the transform from CIE Lab, which Pillow's own conversions leave out."""
    return ImageCms.buildTransform(ImageCms.createProfile('LAB'), ImageCms.createProfile('sRGB'), 'LAB', 'RGB')
