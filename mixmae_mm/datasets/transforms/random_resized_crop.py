"""Reading a random part of an image at one size: what pre-training does with every file, so it has to be fast."""

import cv2
import numpy as np
import torch
from mmcv.transforms import BaseTransform
from PIL import Image
from torch.nn import functional as F

from mixmae_mm.datasets.decoding import MAX_PIXELS, open_image
from mixmae_mm.datasets.metadata import orientation_of
from mixmae_mm.datasets.transforms.load_image import LoadImage
from mixmae_mm.models.utils.pos_embed import pair
from mixmae_mm.registry import TRANSFORMS
from mixmae_mm.utils.validation import check_range

END_OF_JPEG = b'\xff\xd9'
OPENCV_MOST = 2**30  # pixels: OpenCV decodes no larger images, Pillow does
REDUCED = {1: cv2.IMREAD_COLOR, 2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4}
REDUCED[8] = cv2.IMREAD_REDUCED_COLOR_8


@TRANSFORMS.register_module()
class LoadRandomResizedCrop(LoadImage):
    """Read a random part of `img_path`, resized (bicubic, antialiased), into `img`: uint8 (h, w, 3), or (h, w) if gray.

    `LoadImage` and mmpretrain's `RandomResizedCrop` with Pillow in one: the same draws give the same part, and pixels
    differ by 1 of 255 at most. But JPEG files whose part has at least twice the height and width wanted are decoded at
    a half, a quarter or an eighth of their size, by which single pixels differ more, and the part begins and ends at
    multiples of 2, 4 or 8 pixels.

    Args:
        scale: Height and width, or a side, in pixels.
        mode: As of `LoadImage`.
        crop_ratio_range: Least and greatest area of the part, over the image's.
        aspect_ratio_range: Least and greatest width of the part over its height.
        backend_args: As of `LoadImage`.
        max_pixels: As of `LoadImage`.

    Raises:
        ValueError: the mode is unknown.
    """

    def __init__(
        self,
        scale: int | tuple[int, int],
        mode: str = 'RGB',
        crop_ratio_range: tuple[float, float] = (0.08, 1.0),
        aspect_ratio_range: tuple[float, float] = (3 / 4, 4 / 3),
        backend_args: dict | None = None,
        max_pixels: int | None = MAX_PIXELS,
    ) -> None:
        super().__init__(mode, backend_args, max_pixels)
        self.crop = random_crop(scale, crop_ratio_range=crop_ratio_range, aspect_ratio_range=aspect_ratio_range)

    def _read(self, content: bytes) -> tuple[np.ndarray, tuple[int, int]]:
        """Decode a part of a file; return also the (height, width) of the upright image."""
        image, wanted = open_image(content, self.max_pixels), tuple(self.crop.scale)
        if self.mode == 'L' or not is_plain_jpeg(image, content):
            pixels = self.decode(image)
            top, left, height, width = self.crop.rand_crop_params(pixels)
            part = pixels[top : top + height, left : left + width]
            return resize(part, wanted, backwards=self.mode == 'BGR'), pixels.shape[:2]
        shape = image.size[::-1]
        top, left, height, width = self.crop.rand_crop_params(np.broadcast_to(np.uint8(0), shape))
        times = largest_reduction(min(height // wanted[0], width // wanted[1]))
        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), REDUCED[times] | cv2.IMREAD_IGNORE_ORIENTATION)
        if pixels is None:
            raise ValueError('OpenCV cannot decode it as a JPEG file')
        part = pixels[top // times : -(-(top + height) // times), left // times : -(-(left + width) // times)]
        return resize(part, wanted, backwards=self.mode == 'RGB'), shape


def random_crop(scale: int | tuple[int, int], **ranges: tuple[float, float]) -> BaseTransform:
    """Build mmpretrain's transform, which draws the part.

    Raises:
        ValueError: invalid sizes or ranges.
    """
    check_range(**ranges)
    return TRANSFORMS.build(dict(type='mmpretrain.RandomResizedCrop', scale=pair(scale), **ranges))


def is_plain_jpeg(image: Image.Image, content: bytes) -> bool:
    """Return whether OpenCV decodes a file as Pillow does: a complete, upright JPEG of 8 bits in color or gray.

    OpenCV fills up what is missing of a truncated file; Pillow raises an error.
    """
    plain = image.format == 'JPEG' and image.mode in ('RGB', 'L') and content.endswith(END_OF_JPEG)
    return plain and image.width * image.height <= OPENCV_MOST and orientation_of(image) == 1


def largest_reduction(limit: int) -> int:
    """Return by how much a JPEG file can be reduced in decoding, up to a limit."""
    return max(times for times in REDUCED if times <= max(limit, 1))


def resize(pixels: np.ndarray, size: tuple[int, int], backwards: bool = False) -> np.ndarray:
    """Resize pixels (H, W, C) or (H, W), uint8 or float32, to size = (h, w).

    The order of channels is turned round if `backwards`. PyTorch's resizing of bytes takes a third of the time of
    Pillow's. What comes out has one plane a channel in memory, channels last by its strides: packing it as a tensor
    then copies nothing.
    """
    planes = torch.from_numpy(np.ascontiguousarray(pixels)).view(*pixels.shape[:2], -1).permute(2, 0, 1)
    resized = F.interpolate(planes[None], size=size, mode='bicubic', antialias=True, align_corners=False)[0]
    resized = np.ascontiguousarray(resized.numpy()[:: -1 if backwards else 1])
    return resized[0] if pixels.ndim == 2 else resized.transpose(1, 2, 0)
