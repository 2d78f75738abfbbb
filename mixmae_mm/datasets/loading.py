"""Reading one picture with Pillow, whatever its file and pixel format."""

import io

import numpy as np
from mmcv.transforms import BaseTransform
from mmengine import fileio
from PIL import Image, ImageOps, UnidentifiedImageError

from mixmae_mm.registry import TRANSFORMS

FORMATS = ('JPEG', 'PNG', 'BMP', 'DIB', 'WEBP', 'TIFF', 'PPM', 'GIF', 'JPEG2000')
"""What files may hold, whatever their names say; some others Pillow would hand to programs, such as Ghostscript."""

PIXELS_A_BYTE = 1000
"""More pixels than a byte of JPEG can hold, in which a block of 8 x 8 of one channel takes a bit at the least."""


class UnreadablePictureError(ValueError):
    """A file that cannot be read as a picture; `PictureDataset` counts it and goes on with the next one."""


@TRANSFORMS.register_module()
class LoadPicture(BaseTransform):
    """Read `img_path` into `img`: uint8 (H, W, 3), or (H, W) for a mode of one channel.

    Where the file's bytes are at hand as `img_bytes` (from an archive, say), they are taken, and nothing is opened.
    Turned upright as its EXIF data say. Every pixel format ends in the one mode asked for: grey pictures get three
    equal channels in 'RGB', 16-bit ones keep their upper eight bits.

    Args:
        mode: 'RGB' or 'BGR' (what mmpretrain's colour transforms work on) for three channels, 'L' for one, grey.
        backend_args: what mmengine.fileio needs to reach the files.

    Raises:
        ValueError: the mode is none of these.
    """

    def __init__(self, mode: str = 'RGB', backend_args: dict | None = None) -> None:
        if mode not in ('RGB', 'BGR', 'L'):
            raise ValueError(f"mode must be 'RGB' or 'BGR' (3 channels), or 'L' (1 channel, grey), got {mode!r}")
        self.mode = mode
        self.backend_args = backend_args

    def transform(self, results: dict) -> dict:
        """Read the picture and note its size as (H, W).

        Raises:
            UnreadablePictureError: the file is missing, truncated, or no picture.
            ImportError: a library is missing.
        """
        if 'img_path' not in results and 'img' in results:  # mmpretrain's inferencers read images themselves
            return self._take(results)
        path = results['img_path']
        try:
            content = results.pop('img_bytes', None)
            content = fileio.get(path, backend_args=self.backend_args) if content is None else content
            results['img'], results['ori_shape'] = self._read(content)
        except ImportError:
            raise  # a library is missing, not the picture's fault
        except Exception as error:  # broken bytes make Pillow and its plug-ins raise nearly anything
            raise UnreadablePictureError(f'{path}: {_reason(error)}') from error
        results['img_shape'] = results['img'].shape[:2]
        return results

    def _take(self, results: dict) -> dict:
        """Bring an image in memory, grey (H, W) or BGR (H, W, 3), to the mode asked for."""
        image = results['img'] if results['img'].ndim == 3 else np.repeat(results['img'][..., None], 3, axis=2)
        if self.mode == 'L':
            image = np.array(Image.fromarray(np.ascontiguousarray(image[..., ::-1])).convert('L'))
        results['img'] = np.ascontiguousarray(image[..., ::-1]) if self.mode == 'RGB' else image
        results['ori_shape'] = results['img_shape'] = image.shape[:2]
        return results

    def _read(self, content: bytes) -> tuple[np.ndarray, tuple[int, int]]:
        """Turn a file's bytes into pixels; give also the (height, width) of the upright picture."""
        pixels = self.decode(open_picture(content))
        return (np.ascontiguousarray(pixels[..., ::-1]) if self.mode == 'BGR' else pixels), pixels.shape[:2]

    def decode(self, picture: Image.Image) -> np.ndarray:
        """Turn an opened file into upright pixels, (H, W) if grey ones are asked for, and RGB (H, W, 3) otherwise."""
        upright = _eight_bits(ImageOps.exif_transpose(picture))
        mode = 'L' if self.mode == 'L' else 'RGB'
        return np.array(upright if upright.mode == mode else upright.convert(mode))


def open_picture(content: bytes) -> Image.Image:
    """Open a file's bytes, without decoding them.

    Raises:
        UnidentifiedImageError: they are of none of the `FORMATS`.
        ValueError: the file says that it holds far more pixels than it can: its header or its end is damaged.
        Image.DecompressionBombError: a picture of more than 179 million pixels.
    """
    picture = Image.open(io.BytesIO(content), formats=FORMATS)
    width, height = picture.size
    if picture.format == 'JPEG' and width * height > PIXELS_A_BYTE * len(content):
        raise ValueError(f'{len(content)} bytes of JPEG cannot hold {width} x {height} pixels')
    return picture


def _reason(error: Exception) -> str:
    """Say in words what was wrong; Pillow names only the buffer for bytes that are no picture."""
    no_picture = isinstance(error, UnidentifiedImageError)
    return 'not a picture, whatever its name says' if no_picture else f'{type(error).__name__}: {error}'


def _eight_bits(picture: Image.Image) -> Image.Image:
    """Keep the upper half of 16-bit pixels, where Pillow's own conversion would make nearly all of them white.

    Raises:
        ValueError: pixels are floats, whose range nobody knows.
    """
    if picture.mode == 'F':
        raise ValueError('pixels are floating point numbers: save the picture with 8 or 16 bits a channel')
    if not picture.mode.startswith('I'):
        return picture
    return Image.fromarray((np.asarray(picture).clip(0, 2**16 - 1) >> 8).astype(np.uint8))
