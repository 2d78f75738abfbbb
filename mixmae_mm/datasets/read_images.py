"""How a model's images are read whole, from files, arrays or open images, by evaluation, extraction and drawing alike.

What reads is what the model's training reads with: photos by Pillow, files with bands in their own numbers.

Letters: B images, C channels, H x W pixels.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from mmengine.config import Config
from PIL import Image, ImageOps
from torch import Tensor

from mixmae_mm.datasets import LoadImage, LoadMultispectral
from mixmae_mm.datasets.transforms.multispectral import BAND_EXTENSIONS, lay_out, whole_reader
from mixmae_mm.datasets.transforms.random_resized_crop import resize
from mixmae_mm.structures import Size
from mixmae_mm.utils.denormalize import is_of_photos

IMAGENET = dict(mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375))
ImageLike = str | os.PathLike | np.ndarray | Image.Image


class Reading(NamedTuple):
    """How images are read, and which files of a folder."""

    load: LoadImage
    extensions: tuple[str, ...] | None = None
    """Of their names, in lower case; None for those of the usual formats."""

    @property
    def is_of_bands(self) -> bool:
        """Tell bands in units of their own from photos, whose pixels lie from 0 to 255."""
        return isinstance(self.load, LoadMultispectral)

    def read(self, image: ImageLike, size: Size) -> np.ndarray:
        """Return an image, scaled and cropped in the middle to `size` = (h, w): (h, w, C), as `fit` gives it.

        Raises:
            CorruptImageError: The file is corrupt.
            ValueError: An array with other bands than are read.
        """
        if isinstance(image, str | os.PathLike):
            return fit(self.load.transform(dict(img_path=os.fspath(image)))['img'], size)
        if isinstance(self.load, LoadMultispectral):
            return fit(self.load.take_bands(lay_out(np.array(image), self.load.channels_first)), size)
        if isinstance(image, np.ndarray):
            image = Image.fromarray(image.squeeze(-1) if image.shape[-1] == 1 else image)
        return fit(self.load.decode(image), size)

    def read_all(self, images: Sequence[ImageLike], size: Size) -> Tensor:
        """Return images as a batch (B, C, h, w), all of them or none: bytes where files hold bytes, else float32.

        Raises:
            ValueError: As of `read`.
        """
        return torch.from_numpy(np.stack([self.read(one, size) for one in images])).permute(0, 3, 1, 2)


def normalization(config: Config) -> dict[str, tuple[float, ...]]:
    """Tell the mean and std that an encoder was trained with, of each channel, in the images' units."""
    settings = config.model.get('data_preprocessor') or config.get('data_preprocessor') or {}
    return {name: tuple(settings.get(name, IMAGENET[name])) for name in IMAGENET}


def reading_for(channels: int, mean: Sequence[float], std: Sequence[float]) -> Reading:
    """Read gray or RGB, where channels, mean and std can be those of photos; else files with so many bands."""
    if channels in (1, 3) and is_of_photos(*(torch.tensor(x).expand(channels) for x in (mean, std))):
        return Reading(LoadImage('L' if channels == 1 else 'RGB'))
    return Reading(LoadMultispectral(channels=channels), BAND_EXTENSIONS)


def reading_of(config: Config) -> Reading:
    """Read files as the training of a config does, but whole; by its mean and std, if it says nothing.

    One number of a mean stands for all channels of the backbone.
    """
    own = normalization(config)
    channels = len(own['mean'])
    usual = reading_for(config.model.get('backbone', {}).get('in_channels', 3) if channels == 1 else channels, **own)
    dataset = next(unwrapped((config.get('train_dataloader') or {}).get('dataset') or {}))
    load = whole_reader(dataset.get('pipeline') or ())
    if isinstance(load, LoadMultispectral):
        usual = Reading(load, BAND_EXTENSIONS)
    elif load is not None:
        load.mode = 'L' if 'L' in (load.mode, usual.load.mode) else 'RGB'
        usual = Reading(load)
    extensions = dataset.get('extensions') or dataset.get('extensions')
    return usual._replace(extensions=tuple(one.lower() for one in extensions)) if extensions else usual


def unwrapped(dataset: Mapping) -> Iterator[Mapping]:
    """Return the settings of datasets inside of those that repeat, join or mix others."""
    inner = dataset.get('datasets') or ([dataset['dataset']] if 'dataset' in dataset else [])
    if not inner:
        yield dataset
    for one in inner:
        yield from unwrapped(one)


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
