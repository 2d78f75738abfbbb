"""Reading of random resized crops: pre-training does it for every image, so it has to be fast."""

from typing import Any

import cv2
import numpy as np
import torch
from torch.nn import functional as F

from mixmae_mm.datasets.decoding import open_image, orientation_of
from mixmae_mm.datasets.transforms.load_image import LoadImage
from mixmae_mm.registry import TRANSFORMS

OPENCV_MOST = 2**30  # pixels: OpenCV does not decode larger images, Pillow does
REDUCED = {times: getattr(cv2, f'IMREAD_REDUCED_COLOR_{times}') for times in (2, 4, 8)} | {1: cv2.IMREAD_COLOR}
"""OpenCV's flags for decoding JPEG files at full size, 1/2, 1/4 or 1/8, by denominator."""


class RandomCrop:
    """Mixin for a loading transform that draws a crop as mmpretrain's `RandomResizedCrop` does, and resizes it.

    Args:
        scale: Size of the result in pixels: (height, width), or the side of a square.
        crop_ratio_range: Minimum and maximum area of the crop, as a fraction of the image's area.
        aspect_ratio_range: Minimum and maximum aspect ratio of the crop, width over height.
    """

    def __init__(
        self,
        scale: int | tuple[int, int],
        *args: Any,
        crop_ratio_range: tuple[float, float] = (0.08, 1.0),
        aspect_ratio_range: tuple[float, float] = (3 / 4, 4 / 3),
        **settings: Any,
    ) -> None:
        super().__init__(*args, **settings)
        drawn = dict(scale=scale, crop_ratio_range=crop_ratio_range, aspect_ratio_range=aspect_ratio_range)
        self.crop = TRANSFORMS.build(dict(type='mmpretrain.RandomResizedCrop', **drawn))

    def _part(self, pixels: np.ndarray) -> np.ndarray:
        """Draw a crop and resize it."""
        top, left, height, width = self.crop.rand_crop_params(pixels)
        part = pixels[top : top + height, left : left + width]
        return resize(part, self.crop.scale, backwards=self.mode == 'BGR')


@TRANSFORMS.register_module()
class LoadRandomResizedCrop(RandomCrop, LoadImage):
    """Read a random crop of `img_path`, resized (bicubic, antialiased), into `img`: uint8 (h, w, 3), or (h, w) if gray.

    The same random draws yield the same crop as `LoadImage` followed by mmpretrain's `RandomResizedCrop`, and pixels
    differ by at most 2 of 255. But if both sides of a crop are at least twice those of the result, a JPEG file is
    decoded at 1/2, 1/4 or 1/8: single pixels then differ more, and the crop is extended to multiples of 2, 4 or 8
    pixels. Arguments: see `RandomCrop` and `LoadImage`.
    """

    def _read(self, content: bytes) -> tuple[np.ndarray, tuple[int, int]]:
        """Decode a crop of a file; also return the (height, width) of the upright image."""
        image = open_image(content, self.max_pixels)
        whole = content.endswith(b'\xff\xd9')  # OpenCV would fill in the missing part of a truncated file
        plain = image.format == 'JPEG' and image.mode in ('RGB', 'L') and image.width * image.height <= OPENCV_MOST
        if self.mode == 'L' or not (plain and whole and orientation_of(image) == 1):
            pixels = self.decode(image)
            return self._part(pixels), pixels.shape[:2]
        shape, wanted = image.size[::-1], self.crop.scale
        top, left, height, width = self.crop.rand_crop_params(np.broadcast_to(np.uint8(0), shape))
        limit = max(1, min(height // wanted[0], width // wanted[1]))
        times = max(times for times in REDUCED if times <= limit)
        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), REDUCED[times] | cv2.IMREAD_IGNORE_ORIENTATION)
        if pixels is None:
            raise ValueError('OpenCV cannot decode it as a JPEG file')
        part = pixels[top // times : -(-(top + height) // times), left // times : -(-(left + width) // times)]
        return resize(part, wanted, backwards=self.mode == 'RGB'), shape


def resize(pixels: np.ndarray, size: tuple[int, int], backwards: bool = False) -> np.ndarray:
    """Resize pixels (H, W, C) or (H, W) to size = (h, w): uint8 stays uint8, anything else becomes float32.

    PyTorch resizes uint8 in a third of Pillow's time. The result (h, w, C) lies in memory as (C, h, w), so that packing
    it into a tensor copies nothing. `backwards` reverses the channels.
    """
    pixels = np.ascontiguousarray(pixels, None if pixels.dtype == np.uint8 else np.float32)
    planes = torch.from_numpy(pixels).view(*pixels.shape[:2], -1).permute(2, 0, 1)
    resized = F.interpolate(planes[None], size=tuple(size), mode='bicubic', antialias=True, align_corners=False)[0]
    resized = np.ascontiguousarray(resized.numpy()[:: -1 if backwards else 1])
    return resized[0] if pixels.ndim == 2 else resized.transpose(1, 2, 0)
