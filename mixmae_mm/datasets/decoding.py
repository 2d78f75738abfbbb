"""Decoding of photos with Pillow: from the bytes of a file to upright 8-bit pixels, even if its metadata is corrupt."""

import io
import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from typing import BinaryIO

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

FORMATS = ('JPEG', 'PNG', 'BMP', 'DIB', 'WEBP', 'TIFF', 'PPM', 'GIF', 'JPEG2000', 'AVIF')
"""Formats that are decoded, whatever the file's name; for some others Pillow would run programs such as Ghostscript."""

MAX_PIXELS = 2 * 89_478_485
"""Default limit on the number of pixels of an image: the one at which Pillow itself raises an error."""

PIXELS_A_BYTE = 1000
"""More pixels than a byte of JPEG can hold, because each 8 x 8 block of a channel takes at least one bit."""

TURNS = dict(enumerate(map(Image.Transpose, (0, 3, 1, 5, 4, 6, 2)), 2))
"""For each EXIF orientation from 2 on, the transpose that turns the image upright."""

SIDEWAYS = 5
"""From this orientation on, width and height are swapped."""

PNG = b'\x89PNG\r\n\x1a\n'
PNG_KEPT = (b'IHDR', b'PLTE', b'IDAT', b'IEND', b'tRNS', b'eXIf')
JPEG = b'\xff\xd8'
START_OF_SCAN, COMMENT, APPLICATION = 0xDA, 0xFE, range(0xE0, 0xF0)


def open_image(content: bytes | BinaryIO, max_pixels: int | None = MAX_PIXELS) -> Image.Image:
    """Open an image without decoding it; if the file contains several, open the first.

    Unless `max_pixels` is None, raise ValueError if there are more pixels, or more than a JPEG of so many bytes holds.
    """
    file = io.BytesIO(content) if isinstance(content, bytes) else content
    image = _identify(file)
    if max_pixels is None:
        return image
    width, height = image.size
    if width * height > max_pixels:
        raise ValueError(f'{width} x {height} pixels exceed max_pixels={max_pixels:,}: raise it or set it to None')
    if image.format == 'JPEG' and width * height > PIXELS_A_BYTE * (size := file.seek(0, io.SEEK_END)):
        raise ValueError(f'{size} bytes of JPEG cannot hold {width} x {height} pixels')
    return image


def _identify(file: BinaryIO) -> Image.Image:
    """Open a file as `Image.open` does, but without Pillow's limit on pixels, which is global to the process."""
    Image.init()
    start = file.read(16)
    for name in FORMATS:
        factory, accept = Image.OPEN.get(name, (None, None))
        accepted = start[4:11] == b'ftypavi' and 'no AVIF' if factory is None else accept(start)
        if isinstance(accepted, str):
            raise ImportError(f'this Pillow lacks a format ({accepted}): pip install --upgrade "pillow>=11.3"')
        if accepted:
            file.seek(0)
            with suppress(SyntaxError, IndexError, TypeError, struct.error):
                return factory(file, '')
    raise UnidentifiedImageError('not an image, whatever its name says')


def upright_pixels(image: Image.Image, mode: str = 'RGB') -> np.ndarray:
    """Decode an opened image, turn it upright and convert it to 8 bits: (H, W, 3) for 'RGB', (H, W) for 'L'.

    Raise ValueError for floats, and for integers that do not fit into 16 bits, because their range is unknown.
    """
    image.load()
    turn = TURNS.get(orientation_of(image))
    image = _eight_bits(image if turn is None else image.transpose(turn))
    if image.has_transparency_data:
        image = image.convert('RGBA')
        canvas = Image.new('RGB', image.size, 'white')
        canvas.paste(image.convert('RGB'), mask=image.getchannel('A'))
        image = canvas
    if image.mode == 'LAB':  # which Pillow cannot convert to gray
        image = image.convert('RGB')
    return np.array(image if image.mode == mode else image.convert(mode))


def _eight_bits(image: Image.Image) -> Image.Image:
    """Keep the upper byte of 16-bit pixels; Pillow's own conversion would clip nearly all of them to white."""
    if not image.mode.startswith(('I', 'F')):
        return image
    pixels = np.asarray(image)
    if image.mode == 'F' or pixels.min() < 0 or pixels.max() >= 2**16:
        raise ValueError(
            f'pixels are {pixels.dtype} from {pixels.min()} to {pixels.max()}: save the image with 8 or 16 bits '
            'per channel, or read it as is with mixmae_mm.LoadMultispectral'
        )
    return Image.fromarray((pixels >> 8).astype(np.uint8))


def orientation_of(image: Image.Image) -> int:
    """Return the orientation, 1 to 8, from EXIF or XMP; 1 if it is missing, corrupt or invalid."""
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # Pillow raises nearly anything for corrupt EXIF data
        return 1
    return int(value) if isinstance(value, int) and value in TURNS else 1


def upright_size(image: Image.Image, orientation: int) -> tuple[int, int]:
    """Return the upright (width, height) of an image that is opened but not loaded yet."""
    turned = orientation >= SIDEWAYS and image.format != 'TIFF'  # Pillow turns TIFF files itself
    return image.size[::-1] if turned else image.size


def without_metadata(content: bytes) -> bytes:
    """Strip a JPEG or PNG file of all that its pixels and orientation do not need; return other files unchanged."""
    if content.startswith(JPEG):
        return JPEG + b''.join(_jpeg_kept(content))
    return PNG + b''.join(_png_kept(content)) if content.startswith(PNG) else content


def _jpeg_kept(content: bytes) -> Iterator[bytes]:
    """Yield the JPEG segments to keep; the last item is everything from the first scan on."""
    at = len(JPEG)
    while at + 4 <= len(content) and content[at] == 0xFF and content[at + 1] != START_OF_SCAN:
        end = at + 2 + int.from_bytes(content[at + 2 : at + 4], 'big')
        marker, segment = content[at + 1], content[at:end]
        colors = segment[4:9] == b'Adobe' and len(segment) == 16  # the color transform
        if (marker not in APPLICATION and marker != COMMENT) or colors or segment[4:10] == b'Exif\0\0':
            yield segment
        at = end
    yield content[at:]


def _png_kept(content: bytes) -> Iterator[bytes]:
    """Yield the PNG chunks to keep, with the checksum of EXIF data corrected."""
    at = len(PNG)
    while at + 12 <= len(content):
        end = at + 12 + int.from_bytes(content[at : at + 4], 'big')
        chunk = content[at:end]
        if chunk[4:8] == b'eXIf' and end <= len(content):
            chunk = chunk[:-4] + zlib.crc32(chunk[4:-4]).to_bytes(4, 'big')
        if chunk[4:8] in PNG_KEPT:
            yield chunk
        at = end
