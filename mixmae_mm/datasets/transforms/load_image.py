"""Reading of an image with Pillow, whatever its file format and pixel format."""

import re

import numpy as np
from mmcv.transforms import BaseTransform
from mmengine import fileio
from PIL import Image, UnidentifiedImageError

from mixmae_mm.datasets.decoding import MAX_PIXELS, open_image, upright_pixels, without_metadata
from mixmae_mm.registry import TRANSFORMS
from mixmae_mm.utils.names import printable

NO_CODEC = re.compile(r'decoder \w+ not available')
"""Pillow's message about a compression that it was built without."""


class CorruptImageError(ValueError):
    """Error for a file that is corrupt or not an image; `ImageDataset` counts it and takes the next one."""


@TRANSFORMS.register_module()
class LoadImage(BaseTransform):
    """Read `img_path`, or the bytes `img_bytes` if given, into `img`: uint8 (H, W, 3), or (H, W) in mode 'L'.

    The image is turned upright by its EXIF orientation; other metadata, corrupt or not, is ignored. Transparent pixels
    are blended with white, 16-bit pixels keep their upper byte, and the first of several frames or pages is read.

    Args:
        mode: 'RGB' or 'BGR' (which mmpretrain's color transforms expect) for three channels, 'L' for one gray channel.
        backend_args: Arguments of the mmengine.fileio backend that reads the files.
        max_pixels: Number of pixels above which an image counts as corrupt; None for no limit, if you trust all files.
    """

    def __init__(
        self, mode: str = 'RGB', backend_args: dict | None = None, max_pixels: int | None = MAX_PIXELS
    ) -> None:
        if mode not in ('RGB', 'BGR', 'L'):
            raise ValueError(f"mode must be 'RGB' or 'BGR' (3 channels), or 'L' (1 channel, gray), got {mode!r}")
        self.mode, self.backend_args, self.max_pixels = mode, backend_args, max_pixels

    def transform(self, results: dict) -> dict:
        """Read the image and store its size as (H, W); raise `CorruptImageError` if it cannot be read."""
        if 'img_path' not in results and 'img' in results:  # mmpretrain's inferencers read images themselves
            results['img'] = self._convert(results['img'])
            results['ori_shape'] = results['img_shape'] = results['img'].shape[:2]
            return results
        path, content = results['img_path'], results.pop('img_bytes', None)
        try:
            content = fileio.get(path, backend_args=self.backend_args) if content is None else content
            results['img'], results['ori_shape'] = self._read_past_metadata(content)
        except ImportError:
            raise
        except Exception as error:  # corrupt bytes make Pillow and its plug-ins raise nearly anything
            kind = '' if isinstance(error, UnidentifiedImageError) else f'{type(error).__name__}: '
            raise CorruptImageError(f'{printable(path)}: {kind}{error}') from error
        results['img_shape'] = results['img'].shape[:2]
        return results

    def _convert(self, image: np.ndarray) -> np.ndarray:
        """Convert an image in memory, gray (H, W) or BGR (H, W, 3), to `mode`."""
        image = image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)
        if self.mode == 'BGR':
            return image
        rgb = np.ascontiguousarray(image[..., ::-1])
        return rgb if self.mode == 'RGB' else np.array(Image.fromarray(rgb).convert('L'))

    def _read_past_metadata(self, content: bytes) -> tuple[np.ndarray, tuple[int, int]]:
        """Call `_read`; if that fails, call it once more without metadata."""
        try:
            return self._read(content)
        except Exception as error:
            if lack := NO_CODEC.search(str(error)):
                raise ImportError(f'{lack[0]} in this Pillow: pip install --upgrade pillow') from error
            bare = without_metadata(content)
            if bare == content:
                raise
            return self._read(bare)

    def _read(self, content: bytes) -> tuple[np.ndarray, tuple[int, int]]:
        """Decode a file; also return the (height, width) of the upright image."""
        pixels = self.decode(open_image(content, self.max_pixels))
        return self._part(pixels), pixels.shape[:2]

    def _part(self, pixels: np.ndarray) -> np.ndarray:
        """Return all pixels, with their channels in the order of `mode`."""
        return np.ascontiguousarray(pixels[..., ::-1] if self.mode == 'BGR' else pixels)

    def decode(self, image: Image.Image) -> np.ndarray:
        """Decode an opened file into upright pixels: (H, W) in mode 'L', RGB (H, W, 3) otherwise."""
        return upright_pixels(image, 'L' if self.mode == 'L' else 'RGB')
