"""How a model's pictures are read whole: photos by Pillow, files with bands as its training takes them.

Letters: B pictures, C channels, H x W pixels.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from mmengine.config import Config
from PIL import Image, ImageOps
from torch import Tensor

from mixmae_mm.datasets import LoadBands, LoadPicture
from mixmae_mm.datasets.bands import BAND_ENDINGS, whole_reader
from mixmae_mm.datasets.cropping import resize
from mixmae_mm.inference.models import normalisation
from mixmae_mm.models.positions import Size
from mixmae_mm.models.showing import is_of_photos


class Reading(NamedTuple):
    """How files are read, and which of a folder."""

    load: LoadPicture
    endings: tuple[str, ...] | None = None
    """Of their names, in lower case; None for those of the usual formats."""

    @property
    def is_of_bands(self) -> bool:
        """Tell bands in units of their own from photos, whose pixels lie from 0 to 255."""
        return isinstance(self.load, LoadBands)


def reading_for(channels: int, mean: Sequence[float], std: Sequence[float]) -> Reading:
    """Read grey or RGB, where channels, mean and std can be those of photos; else files with so many bands."""
    if channels in (1, 3) and is_of_photos(*(torch.tensor(x).expand(channels) for x in (mean, std))):
        return Reading(LoadPicture('L' if channels == 1 else 'RGB'))
    return Reading(LoadBands(channels=channels), BAND_ENDINGS)


def reading_of(config: Config) -> Reading:
    """Read files as the training of a config does, but whole; by its mean and std, if it says nothing.

    One number of a mean stands for all channels of the backbone.
    """
    own = normalisation(config)
    channels = len(own['mean'])
    usual = reading_for(config.model.get('backbone', {}).get('in_channels', 3) if channels == 1 else channels, **own)
    dataset = next(unwrapped((config.get('train_dataloader') or {}).get('dataset') or {}))
    load = whole_reader(dataset.get('pipeline') or ())
    if isinstance(load, LoadBands):
        usual = Reading(load, BAND_ENDINGS)
    elif load is not None and not usual.is_of_bands:
        usual = Reading(LoadPicture(usual.load.mode, load.backend_args))
    endings = dataset.get('endings')
    return usual._replace(endings=tuple(one.lower() for one in endings)) if endings else usual


def unwrapped(dataset: Mapping) -> Iterator[Mapping]:
    """Give the settings of datasets inside of those that repeat, join or mix others."""
    inner = dataset.get('datasets') or ([dataset['dataset']] if 'dataset' in dataset else [])
    if not inner:
        yield dataset
    for one in inner:
        yield from unwrapped(one)


def read_pictures(paths: Sequence[str], size: Size, load: LoadPicture) -> Tensor:
    """Read pictures, scaled and cropped in the middle to `size` = (H, W): (B, C, H, W), in the files' units.

    They are bytes where the files' pixels are, and float32 elsewhere.

    Raises:
        ValueError: pictures cannot be read.
    """
    arrays = [fit(load.transform(dict(img_path=path))['img'], size) for path in paths]
    return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2)


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
