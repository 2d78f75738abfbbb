"""Reading one image with Pillow, whatever its file and pixel format."""

import re

import numpy as np
from mmcv.transforms import BaseTransform
from mmengine import fileio
from PIL import Image, UnidentifiedImageError

from mixmae_mm.datasets.decoding import MAX_PIXELS, open_image, upright_pixels
from mixmae_mm.datasets.metadata import without_metadata
from mixmae_mm.registry import TRANSFORMS
from mixmae_mm.utils.names import printable
from mixmae_mm.utils.validation import check_whole

NO_CODEC = re.compile(r'(decoder \w+) not available')
"""Pillow's message on a compression that it was built without."""


class CorruptImageError(ValueError):
    """A corrupt file, or one that is not an image; `ImageDataset` counts it and takes the next one."""


@TRANSFORMS.register_module()
class LoadImage(BaseTransform):
    """Read `img_path` into `img`: uint8 (H, W, 3), or (H, W) for a mode of one channel.

    Where the file's bytes are at hand as `img_bytes` (from an archive, say), they are taken, and nothing is opened.
    Turned upright by its EXIF data; other metadata, corrupt or not, is ignored. Every pixel format ends in the one
    mode asked for: transparent pixels lie on white, gray images get three equal channels in 'RGB', 16-bit ones keep
    their upper eight bits. Of animations and several pages the first image is read.

    Args:
        mode: 'RGB' or 'BGR' (what mmpretrain's color transforms work on) for three channels, 'L' for one, gray.
        backend_args: what mmengine.fileio needs to reach the files.
        max_pixels: The most pixels of an image, above which it counts as corrupt; None reads any, trusting all files.

    Raises:
        ValueError: an invalid mode or `max_pixels`.
    """

    def __init__(
        self, mode: str = 'RGB', backend_args: dict | None = None, max_pixels: int | None = MAX_PIXELS
    ) -> None:
        if mode not in ('RGB', 'BGR', 'L'):
            raise ValueError(f"mode must be 'RGB' or 'BGR' (3 channels), or 'L' (1 channel, gray), got {mode!r}")
        if max_pixels is not None:
            check_whole(max_pixels=max_pixels)
        self.mode = mode
        self.backend_args = backend_args
        self.max_pixels = max_pixels

    def transform(self, results: dict) -> dict:
        """Read the image and note its size as (H, W).

        Raises:
            CorruptImageError: the file is missing, truncated, or no image.
            ImportError: a library is missing.
        """
        if 'img_path' not in results and 'img' in results:  # mmpretrain's inferencers read images themselves
            return self._take(results)
        path = results['img_path']
        try:
            content = results.pop('img_bytes', None)
            content = fileio.get(path, backend_args=self.backend_args) if content is None else content
            results['img'], results['ori_shape'] = self._read_past_metadata(content)
        except ImportError:
            raise  # a library is missing, not the image's fault
        except Exception as error:  # corrupt bytes make Pillow and its plug-ins raise nearly anything
            raise CorruptImageError(f'{printable(path)}: {_reason(error)}') from error
        results['img_shape'] = results['img'].shape[:2]
        return results

    def _take(self, results: dict) -> dict:
        """Bring an image in memory, gray (H, W) or BGR (H, W, 3), to the mode asked for."""
        image = results['img'] if results['img'].ndim == 3 else np.repeat(results['img'][..., None], 3, axis=2)
        if self.mode == 'L':
            image = np.array(Image.fromarray(np.ascontiguousarray(image[..., ::-1])).convert('L'))
        results['img'] = np.ascontiguousarray(image[..., ::-1]) if self.mode == 'RGB' else image
        results['ori_shape'] = results['img_shape'] = image.shape[:2]
        return results

    def _read_past_metadata(self, content: bytes) -> tuple[np.ndarray, tuple[int, int]]:
        """Call `_read`, and once more without metadata if that fails."""
        try:
            return self._read(content)
        except Exception as error:
            if missing := NO_CODEC.search(str(error)):
                raise ImportError(f'this Pillow lacks the {missing[1]}: pip install --upgrade pillow') from error
            bare = without_metadata(content)
            if bare == content:
                raise
            return self._read(bare)

    def _read(self, content: bytes) -> tuple[np.ndarray, tuple[int, int]]:
        """Decode a file; return also the (height, width) of the upright image."""
        pixels = self.decode(open_image(content, self.max_pixels))
        return (np.ascontiguousarray(pixels[..., ::-1]) if self.mode == 'BGR' else pixels), pixels.shape[:2]

    def decode(self, image: Image.Image) -> np.ndarray:
        """Turn an opened file into upright pixels, (H, W) if gray ones are asked for, and RGB (H, W, 3) otherwise."""
        return upright_pixels(image, 'L' if self.mode == 'L' else 'RGB')


def _reason(error: Exception) -> str:
    """Describe the error; Pillow names only the buffer for bytes that are not an image."""
    no_image = isinstance(error, UnidentifiedImageError)
    return 'not an image, whatever its name says' if no_image else f'{type(error).__name__}: {error}'
