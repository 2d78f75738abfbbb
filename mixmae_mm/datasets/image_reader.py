"""Images read whole, from files, folders, arrays, open images and lists of any, as a model's training reads them.

Letters: B images, C channels, H x W pixels.
"""

import inspect
import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import NamedTuple

import numpy as np
import torch
from mmengine.config import Config
from mmengine.logging import print_log
from PIL import Image, ImageOps
from torch import Tensor

from mixmae_mm.datasets.file_list import list_images
from mixmae_mm.datasets.transforms.load_image import CorruptImageError, LoadImage
from mixmae_mm.datasets.transforms.multispectral import BAND_EXTENSIONS, LoadMultispectral
from mixmae_mm.datasets.transforms.random_resized_crop import RandomCrop, resize
from mixmae_mm.registry import TRANSFORMS
from mixmae_mm.structures import Size
from mixmae_mm.utils.denormalize import is_of_photos
from mixmae_mm.utils.names import expand

IMAGENET = dict(mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375))
ImageLike = str | os.PathLike | np.ndarray | Image.Image
ImageLikes = ImageLike | Iterable[ImageLike]


class Reading(NamedTuple):
    """How images are read, and which extensions files of a folder have, if not the usual ones."""

    load: LoadImage
    extensions: tuple[str, ...] | None = None

    @property
    def is_of_bands(self) -> bool:
        """Whether images are multispectral, in their own units, and not photos from 0 to 255."""
        return isinstance(self.load, LoadMultispectral)

    def read(self, image: ImageLike, size: Size) -> np.ndarray:
        """Return an image, fitted to `size` = (h, w): (h, w, C); raise `ValueError` if it is corrupt."""
        if isinstance(image, str | os.PathLike):
            return fit(self.load.transform(dict(img_path=os.fspath(image)))['img'], size)
        if isinstance(self.load, LoadMultispectral):
            return fit(self.load.take(np.array(image), self.load.channels_first), size)
        if isinstance(image, np.ndarray):
            image = Image.fromarray(image.squeeze(-1) if image.shape[-1] == 1 else image)
        return fit(self.load.decode(image), size)

    def read_all(self, images: Sequence[ImageLike], size: Size) -> Tensor:
        """Return images as a batch (B, C, h, w), all of them or none: bytes where files hold bytes, else float32."""
        return torch.from_numpy(np.stack([self.read(one, size) for one in images])).permute(0, 3, 1, 2)


def normalization(config: Config) -> dict[str, tuple[float, ...]]:
    """Return the mean and std that an encoder was trained with, of each channel, in the images' units."""
    settings = config.model.get('data_preprocessor') or config.get('data_preprocessor') or {}
    return {name: tuple(settings.get(name, IMAGENET[name])) for name in IMAGENET}


def reading_for(channels: int, mean: Sequence[float], std: Sequence[float]) -> Reading:
    """Return the reading of gray or RGB where channels, mean and std can be of photos, else of that many channels."""
    if channels in (1, 3) and is_of_photos(*(torch.tensor(x).expand(channels) for x in (mean, std))):
        return Reading(LoadImage('L' if channels == 1 else 'RGB'))
    return Reading(LoadMultispectral(channels=channels), BAND_EXTENSIONS)


def reading_of(config: Config) -> Reading:
    """Return how the training of a config reads files, without crops; by its mean and std if it does not say."""
    own = normalization(config)
    channels = len(own['mean']) if len(own['mean']) > 1 else config.model.get('backbone', {}).get('in_channels', 3)
    usual = reading_for(channels, **own)
    dataset = next(unwrapped((config.get('train_dataloader') or {}).get('dataset') or {}))
    load = whole_reader(dataset.get('pipeline') or ())
    if isinstance(load, LoadMultispectral):
        usual = Reading(load, BAND_EXTENSIONS)
    elif load is not None:
        load.mode = 'L' if 'L' in (load.mode, usual.load.mode) else 'RGB'
        usual = Reading(load)
    extensions = dataset.get('extensions')
    return usual._replace(extensions=tuple(one.lower() for one in extensions)) if extensions else usual


def whole_reader(pipeline: Sequence[dict]) -> LoadImage | None:
    """Build a transform that reads whole images as a pipeline reads them; None if none of ours reads there."""
    for transform in pipeline:
        kind = transform.get('type')
        if isinstance(kind, str) and (kind.startswith('mixmae_mm.') or '.' not in kind):  # others take long to import
            kind = TRANSFORMS.get(kind)
        if isinstance(kind, type) and issubclass(kind, LoadImage):
            if issubclass(kind, RandomCrop):
                kind = LoadMultispectral if issubclass(kind, LoadMultispectral) else LoadImage
            return kind(**{name: transform[name] for name in inspect.signature(kind).parameters if name in transform})
    return None


def unwrapped(dataset: Mapping) -> Iterator[Mapping]:
    """Yield the settings of datasets inside those that repeat, join or mix others."""
    inner = dataset.get('datasets') or ([dataset['dataset']] if 'dataset' in dataset else [])
    if not inner:
        yield dataset
    for one in inner:
        yield from unwrapped(one)


def fit(pixels: np.ndarray, size: Size) -> np.ndarray:
    """Scale pixels (H, W) or (H, W, C) and crop them in the middle to `size`: (h, w, C), float32 unless they are bytes.

    Photos go through Pillow, which takes neither more channels nor larger numbers.
    """
    if pixels.dtype == np.uint8 and (pixels.ndim == 2 or pixels.shape[2] == 3):
        fitted = np.array(ImageOps.fit(Image.fromarray(pixels), size[::-1], Image.Resampling.BICUBIC))
    else:
        zoom = min(have / want for have, want in zip(pixels.shape, size, strict=False))
        height, width = (max(1, round(side * zoom)) for side in size)
        top, left = (pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2
        fitted = resize(pixels[top : top + height, left : left + width], size)
    return fitted if fitted.ndim == 3 else fitted[..., None]


def list_all(images: ImageLikes, reading: Reading) -> Iterable[ImageLike]:
    """List single images; raise `ValueError` for a folder or an array that holds none."""
    if isinstance(images, str | os.PathLike):
        path = expand(images)
        folder = list_images(path, reading.extensions) if os.path.isdir(path) else [dict(img_path=path)]
        return (entry['img_path'] for entry in folder)
    if isinstance(images, Image.Image):
        return [images]
    if not isinstance(images, np.ndarray):
        return (single for image in images for single in list_all(image, reading))
    is_photo = images.dtype == np.uint8 and images.ndim in (3, 4) and images.shape[-1] in (1, 3)
    if not is_photo and not reading.is_of_bands:
        kind = f'{images.dtype} {images.shape}'
        raise ValueError(f'an array of {kind} holds no images: give RGB or gray, uint8 (H, W, 3 or 1), or many')
    return images if images.ndim == 4 else [images]


class ImageReader:
    """Read images in batches, by several threads, scaled and cropped in the middle to `size` = (h, w)."""

    def __init__(self, size: Size, reading: Reading | None = None, batch_size: int = 32, threads: int = 4) -> None:
        self.size, self.batch_size, self.threads = size, batch_size, threads
        self.reading = reading or Reading(LoadImage())

    def __call__(self, images: ImageLikes) -> Iterator[tuple[list[str], np.ndarray]]:
        """Yield names (paths, or numbers) and pixels, (B, H, W, C); what is corrupt is left out, with a warning."""
        listed = iter(enumerate(list_all(images, self.reading)))
        with ThreadPoolExecutor(self.threads) as pool:
            while chunk := list(islice(listed, self.batch_size)):
                read = [one for one in pool.map(self._read, chunk) if one is not None]
                if read:
                    names, pixels = zip(*read, strict=True)
                    yield list(names), np.stack(pixels)

    def _read(self, numbered: tuple[int, ImageLike]) -> tuple[str, np.ndarray] | None:
        """Return an image's name and its pixels, (H, W, C); None if it is corrupt."""
        number, image = numbered
        name = os.fspath(image) if isinstance(image, str | os.PathLike) else str(number)
        try:
            return name, self.reading.read(image, self.size)
        except CorruptImageError as error:
            print_log(f'left out: {error}', 'current', logging.WARNING)
            return None
