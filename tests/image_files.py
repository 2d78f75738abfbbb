"""Image files of every kind, written byte by byte or by Pillow, with the pixels that reading must return."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

PIXELS = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
GRAY = PIXELS[..., 0]
WHITE = np.full_like(PIXELS, 255)
ALPHA = np.arange(0, 35 * 7, 7, dtype=np.uint8).reshape(5, 7)


def chunk(kind, data):
    return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))


def png(size, depth, color, rows, before=b'', after=b''):
    """Return a PNG file with this (H, W), bit depth, color type, bytes of rows, and chunks around the pixels."""
    head = struct.pack('>IIBBBBB', size[1], size[0], depth, color, 0, 0, 0)
    data = zlib.compress(b''.join(b'\0' + row for row in rows))
    return b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', head) + before + chunk(b'IDAT', data) + after + chunk(b'IEND', b'')


def rgb_png(before=b'', after=b''):
    """Return a PNG file of `PIXELS`, with chunks before and after them."""
    return png((5, 7), 8, 2, [row.tobytes() for row in PIXELS], before, after)


def saved(image, kind='PNG', **options):
    """Return an image or an array as a file written by Pillow."""
    file = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(file, kind, **options)
    return file.getvalue()


def on_white(pixels, alpha):
    """Blend pixels with white, by hand."""
    share = alpha[..., None].astype(np.float64) / 255
    return np.floor(pixels * share + 255 * (1 - share) + 0.5).astype(np.uint8)


def gray(values):
    """Repeat (H, W) as (H, W, 3)."""
    return np.repeat(np.asarray(values, np.uint8)[..., None], 3, 2)


def palette():
    """Return a file of four colors, the second transparent and the fourth half transparent, and its visible pixels."""
    image = Image.fromarray(np.array([[0, 1, 2, 3]], np.uint8), 'P')
    image.putpalette([10, 20, 30, 99, 98, 97, 200, 100, 0, 60, 80, 100])
    seen = [[[10, 20, 30], [255, 255, 255], [200, 100, 0], [157, 167, 177]]]
    return saved(image, transparency=bytes([255, 0, 255, 128])), np.array(seen, np.uint8)


def exif(orientation):
    data = Image.Exif()
    data[0x0112] = orientation
    return dict(exif=data)


DEEP_COLORS = struct.pack('>6H', 511, 512, 0, 65535, 1, 25700)
DEEP = np.array([[0, 255, 256], [25700, 65279, 65535]])
KINDS = {
    'RGB': (rgb_png(), PIXELS),
    'RGBA': (saved(np.dstack([PIXELS, ALPHA])), on_white(PIXELS, ALPHA)),
    'LA': (saved(Image.merge('LA', [Image.fromarray(GRAY), Image.fromarray(ALPHA)])), on_white(gray(GRAY), ALPHA)),
    'RGBA in WebP': (saved(np.dstack([PIXELS, ALPHA]), 'WEBP', lossless=True, exact=True), on_white(PIXELS, ALPHA)),
    'palette': palette(),
    'GIF with a hidden color': (
        saved(Image.fromarray(np.array([[0, 255]], np.uint8)), 'GIF', transparency=0),
        np.full((1, 2, 3), 255),
    ),
    'RGB with a hidden color': (
        rgb_png(chunk(b'tRNS', struct.pack('>3H', *PIXELS[2, 3]))),
        np.where((PIXELS[2, 3] == PIXELS).all(-1, keepdims=True), 255, PIXELS),
    ),
    '1 bit': (png((1, 8), 1, 0, [bytes([0b10110010])]), gray([[255, 0, 255, 255, 0, 0, 255, 0]])),
    '1 bit, black hidden': (png((1, 2), 1, 0, [bytes([0b01000000])], chunk(b'tRNS', b'\0\0')), gray([[255, 255]])),
    '16 bits': (png((2, 3), 16, 0, [row.astype('>u2').tobytes() for row in DEEP]), gray(DEEP // 256)),
    '16 bits, RGB': (png((1, 2), 16, 2, [DEEP_COLORS]), [[[1, 2, 0], [255, 0, 100]]]),
    '16 bits, RGBA': (
        png((1, 2), 16, 6, [struct.pack('>8H', 511, 512, 0, 65535, 9999, 1, 25700, 0)]),
        [[[1, 2, 0], [255] * 3]],
    ),
    '16 bits in TIFF': (saved(DEEP.astype(np.uint16), 'TIFF'), gray(DEEP // 256)),
    '32 bits in TIFF': (saved(DEEP.astype(np.int32), 'TIFF'), gray(DEEP // 256)),
    'CMYK': (saved(Image.new('CMYK', (2, 1), (255, 0, 51, 0)), 'TIFF'), np.full((1, 2, 3), [0, 255, 204])),
    'YCbCr': (
        saved(Image.new('YCbCr', (16, 16), (100, 128, 128)), 'TIFF', compression='jpeg'),
        np.full((16, 16, 3), 100),
    ),
    'Lab': (saved(Image.new('LAB', (2, 1), (128, 128, 128)), 'TIFF'), np.full((1, 2, 3), 119)),
    'first of several pages': (saved(PIXELS, 'TIFF', save_all=True, append_images=[Image.fromarray(WHITE)]), PIXELS),
    'first of an animation': (
        saved(PIXELS, 'WEBP', save_all=True, append_images=[Image.fromarray(WHITE)], lossless=True),
        PIXELS,
    ),
    'JPEG 2000': (saved(PIXELS, 'JPEG2000'), PIXELS),
}
"""Files, and the pixels that reading must give, in RGB."""


def jpeg(*segments):
    """Return a JPEG file of `PIXELS` with extra segments, each (marker, data), at its beginning."""
    made = (bytes([255, marker]) + struct.pack('>H', len(data) + 2) + data for marker, data in segments)
    plain = saved(PIXELS, 'JPEG')
    return plain[:2] + b''.join(made) + plain[2:]


BOMB = chunk(b'zTXt', b'k\0\0' + zlib.compress(bytes(2**26)))
NO_TIFF = b'Exif\0\0' + b'\0\x08\0\x02\x01\x12\0\x03' * 4
CUT = b'Exif\0\0MM\0*\0\0\0\x08\0\x09\x01\x12'
BROKEN = {
    'EXIF without header, PNG': saved(PIXELS, exif=NO_TIFF),
    'truncated EXIF, PNG': saved(PIXELS, exif=CUT),
    'EXIF with a wrong checksum': rgb_png(chunk(b'eXIf', exif(1)['exif'].tobytes()[6:])[:-1] + b'?'),
    'truncated EXIF, WebP': saved(PIXELS, 'WEBP', exif=CUT, lossless=True),
    'text that unpacks to 64 MB': rgb_png(BOMB),
    'such text after the pixels': rgb_png(after=BOMB),
    'resolution of two bytes': rgb_png(chunk(b'pHYs', b'12')),
    'invalid profile': rgb_png(chunk(b'iCCP', b'x\0\0no profile')),
    'EXIF without header': jpeg((0xE1, NO_TIFF)),
    'EXIF that points beyond': jpeg((0xE1, b'Exif\0\0II*\0\xff\xff\xff\x7f')),
    'truncated profile': jpeg((0xE2, b'ICC_PROFILE\0')),
    'truncated JFIF': jpeg((0xE0, b'JFIF\0\1')),
    'truncated Adobe segment': jpeg((0xEE, b'Adobe\0')),
    'invalid pages': jpeg((0xE2, b'MPF\0II*\0\x08\0\0\0\x01\0\x01\xb0\x03\0')),
    'invalid XMP': jpeg((0xE1, b'http://ns.adobe.com/xap/1.0/\0<x:xmp tiff:Orientation="\xff"')),
    'orientation 9': jpeg((0xE1, exif(9)['exif'].tobytes())),
}
"""Files of `PIXELS` whose metadata are broken."""
