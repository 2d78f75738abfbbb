"""How a model's pictures are read whole: photos by Pillow, files with bands as its training takes them.

Letters: B pictures, C channels, H x W pixels.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from mmengine.config import Config
from PIL import Image, ImageOps
from torch import Tensor

from mixmae_mm.datasets import LoadBands, LoadPicture
from mixmae_mm.datasets.bands import BAND_ENDINGS, whole_reader
from mixmae_mm.datasets.cropping import resize
from mixmae_mm.models.positions import Size


class Reading(NamedTuple):
    """How files are read, and which of a folder."""

    load: LoadPicture
    endings: tuple[str, ...] | None = None
    """Of their names; None for those of the usual formats."""


def reading_for(channels: int) -> Reading:
    """Read one channel as grey, three as RGB, any other number out of files with so many bands."""
    if channels in (1, 3):
        return Reading(LoadPicture('L' if channels == 1 else 'RGB'))
    return Reading(LoadBands(channels=channels), BAND_ENDINGS)


def reading_of(config: Config, channels: int) -> Reading:
    """Read bands as the training of a config does; without, by the number of channels."""
    dataset = config.get('train_dataloader', {}).get('dataset', {})
    load = whole_reader(dataset.get('pipeline') or ())
    if isinstance(load, LoadBands):
        return Reading(load, tuple(dataset.get('endings') or BAND_ENDINGS))
    return reading_for(channels)


def read_pictures(paths: Sequence[str], size: Size, load: LoadPicture) -> Tensor:
    """Read pictures, scaled and cropped in the middle to `size` = (H, W): float (B, C, H, W), in the files' units.

    Raises:
        ValueError: pictures cannot be read.
    """
    arrays = [fit(load.transform(dict(img_path=path))['img'], size) for path in paths]
    return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2).float()


def fit(pixels: np.ndarray, size: Size) -> np.ndarray:
    """Scale pixels (H, W) or (H, W, C) and crop them in the middle to `size`: (h, w, C), float32 unless they are bytes.

    Photos go through Pillow, which bands are too many or too large for.
    """
    if pixels.dtype == np.uint8 and (pixels.ndim == 2 or pixels.shape[2] == 3):
        fitted = np.array(ImageOps.fit(Image.fromarray(pixels), size[::-1], Image.Resampling.BICUBIC))
    else:
        zoom = min(have / want for have, want in zip(pixels.shape, size, strict=False))
        height, width = (max(1, round(side * zoom)) for side in size)
        top, left = (pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2
        part = pixels[top : top + height, left : left + width]
        fitted = resize(part if part.dtype == np.uint8 else part.astype(np.float32), tuple(size))
    return fitted if fitted.ndim == 3 else fitted[..., None]
