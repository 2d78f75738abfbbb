"""Metadata of image files: the orientation is applied, and corrupt metadata is ignored."""

import zlib
from collections.abc import Iterator

from PIL import ExifTags, Image

TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""The transpose that brings each EXIF orientation upright."""
SIDEWAYS = 5
"""From this orientation on, width and height are exchanged."""

PNG = b'\x89PNG\r\n\x1a\n'
PNG_KEPT = (b'IHDR', b'PLTE', b'IDAT', b'IEND', b'tRNS', b'eXIf')
JPEG = b'\xff\xd8'
START_OF_SCAN, COMMENT, APPLICATION = 0xDA, 0xFE, range(0xE0, 0xF0)


def orientation_of(image: Image.Image) -> int:
    """Return the orientation, 1 to 8, from EXIF or XMP; 1 where they are corrupt or give another value."""
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # Pillow raises nearly anything for corrupt EXIF data
        return 1
    return int(value) if isinstance(value, int) and value in TURNS else 1


def upright_size(image: Image.Image, orientation: int) -> tuple[int, int]:
    """Return (width, height) of an image that is not loaded yet, as it stands upright."""
    turned = orientation >= SIDEWAYS and image.format != 'TIFF'  # which Pillow turns itself
    return image.size[::-1] if turned else image.size


def without_metadata(content: bytes) -> bytes:
    """Return a JPEG or PNG file without what pixels and orientation do not need; any other file as it is."""
    if content.startswith(JPEG):
        return JPEG + b''.join(_jpeg_kept(content))
    return PNG + b''.join(_png_kept(content)) if content.startswith(PNG) else content


def _jpeg_kept(content: bytes) -> Iterator[bytes]:
    """Yield the segments to keep, with all from the first scan on as the last."""
    at = len(JPEG)
    while at + 4 <= len(content) and content[at] == 0xFF and content[at + 1] != START_OF_SCAN:
        end = at + 2 + int.from_bytes(content[at + 2 : at + 4], 'big')
        marker, segment = content[at + 1], content[at:end]
        colors = segment[4:9] == b'Adobe' and len(segment) == 16  # how they are stored
        if (marker not in APPLICATION and marker != COMMENT) or colors or segment[4:10] == b'Exif\0\0':
            yield segment
        at = end
    yield content[at:]


def _png_kept(content: bytes) -> Iterator[bytes]:
    """Yield the chunks to keep; the checksum of EXIF data is made right."""
    at = len(PNG)
    while at + 12 <= len(content):
        end = at + 12 + int.from_bytes(content[at : at + 4], 'big')
        chunk = content[at:end]
        if chunk[4:8] == b'eXIf' and end <= len(content):
            chunk = chunk[:-4] + zlib.crc32(chunk[4:-4]).to_bytes(4, 'big')
        if chunk[4:8] in PNG_KEPT:
            yield chunk
        at = end
