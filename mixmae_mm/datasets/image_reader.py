"""Reading of whole images as in a model's training, from files, folders, arrays, open images and lists of these.

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
from mixmae_mm.datasets.transforms.multispectral import LoadMultispectral
from mixmae_mm.datasets.transforms.random_resized_crop import RandomCrop, resize
from mixmae_mm.registry import TRANSFORMS
from mixmae_mm.structures import Size
from mixmae_mm.utils.denormalize import is_of_photos
from mixmae_mm.utils.names import expand

IMAGENET = dict(mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375))
ImageLike = str | os.PathLike | np.ndarray | Image.Image
ImageLikes = ImageLike | Iterable[ImageLike]


class ImageLoader(NamedTuple):
    """Loader of single images: the transform that reads, and the extensions in a folder, None for the usual ones."""

    load: LoadImage
    extensions: tuple[str, ...] | None = None

    @property
    def is_multispectral(self) -> bool:
        """Whether images are multispectral, in their own units, rather than photos from 0 to 255."""
        return isinstance(self.load, LoadMultispectral)

    def read(self, image: ImageLike, size: Size) -> np.ndarray:
        """Return an image, scaled and cropped to `size` = (h, w): (h, w, C); raise `ValueError` if it is corrupt."""
        if isinstance(image, str | os.PathLike):
            return fit(self.load.transform(dict(img_path=os.fspath(image)))['img'], size)
        if isinstance(self.load, LoadMultispectral):
            return fit(self.load.take(np.array(image), self.load.channels_first), size)
        if isinstance(image, np.ndarray):
            image = Image.fromarray(image.squeeze(-1) if image.shape[-1] == 1 else image)
        return fit(self.load.decode(image), size)

    def read_all(self, images: Sequence[ImageLike], size: Size) -> Tensor:
        """Return images as a batch (B, C, h, w), all uint8 or else float32; raise `ValueError` if one is corrupt."""
        return torch.from_numpy(np.stack([self.read(one, size) for one in images])).permute(0, 3, 1, 2)


def normalization(config: Config) -> dict[str, tuple[float, ...]]:
    """Return the mean and std of each channel that an encoder was trained with, in the images' units."""
    settings = config.model.get('data_preprocessor') or config.get('data_preprocessor') or {}
    return {name: tuple(settings.get(name, IMAGENET[name])) for name in IMAGENET}


def image_loader_for(channels: int, mean: Sequence[float], std: Sequence[float]) -> ImageLoader:
    """Return a loader of gray or RGB photos if channels, mean and std fit them, else of images of so many channels."""
    if channels in (1, 3) and is_of_photos(*(torch.tensor(x).expand(channels) for x in (mean, std))):
        return ImageLoader(LoadImage('L' if channels == 1 else 'RGB'))
    return ImageLoader(LoadMultispectral(channels=channels), LoadMultispectral.extensions)


def image_loader_of(config: Config) -> ImageLoader:
    """Return a loader that reads as a config's training does, without crops; if it has none, mean and std decide."""
    own = normalization(config)
    channels = len(own['mean']) if len(own['mean']) > 1 else config.model.get('backbone', {}).get('in_channels', 3)
    usual = image_loader_for(channels, **own)
    dataset = next(unwrapped((config.get('train_dataloader') or {}).get('dataset') or {}))
    load = whole_reader(dataset.get('pipeline') or ())
    if isinstance(load, LoadMultispectral):
        usual = ImageLoader(load, LoadMultispectral.extensions)
    elif load is not None:
        load.mode = 'L' if 'L' in (load.mode, usual.load.mode) else 'RGB'
        usual = ImageLoader(load)
    extensions = dataset.get('extensions')
    return usual._replace(extensions=tuple(one.lower() for one in extensions)) if extensions else usual


def whole_reader(pipeline: Sequence[dict]) -> LoadImage | None:
    """Build a transform that reads whole images as a pipeline does; return None if none of ours reads in it."""
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
    """Yield the settings of the innermost datasets, inside those that repeat, concatenate or mix others."""
    inner = dataset.get('datasets') or ([dataset['dataset']] if 'dataset' in dataset else [])
    if not inner:
        yield dataset
    for one in inner:
        yield from unwrapped(one)


def fit(pixels: np.ndarray, size: Size) -> np.ndarray:
    """Scale and center-crop pixels (H, W) or (H, W, C) to `size`: (h, w, C), float32 unless they are uint8.

    Pillow resizes 8-bit gray and RGB images; it cannot resize arbitrary channels and data types, so PyTorch does.
    """
    if pixels.dtype == np.uint8 and (pixels.ndim == 2 or pixels.shape[2] == 3):
        fitted = np.array(ImageOps.fit(Image.fromarray(pixels), size[::-1], Image.Resampling.BICUBIC))
    else:
        zoom = min(have / want for have, want in zip(pixels.shape, size, strict=False))
        height, width = (max(1, round(side * zoom)) for side in size)
        top, left = (pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2
        fitted = resize(pixels[top : top + height, left : left + width], size)
    return fitted if fitted.ndim == 3 else fitted[..., None]


def list_all(images: ImageLikes, image_loader: ImageLoader) -> Iterable[ImageLike]:
    """List the single images of a folder, array or nested list; raise `ValueError` if a folder or array has none."""
    if isinstance(images, str | os.PathLike):
        path = expand(images)
        folder = list_images(path, image_loader.extensions) if os.path.isdir(path) else [dict(img_path=path)]
        return (entry['img_path'] for entry in folder)
    if isinstance(images, Image.Image):
        return [images]
    if not isinstance(images, np.ndarray):
        return (single for image in images for single in list_all(image, image_loader))
    is_photo = images.dtype == np.uint8 and images.ndim in (3, 4) and images.shape[-1] in (1, 3)
    if not is_photo and not image_loader.is_multispectral:
        kind = f'{images.dtype} {images.shape}'
        raise ValueError(f'an array of {kind} holds no images: use RGB or gray, uint8 ([B,] H, W, 3 or 1)')
    return images if images.ndim == 4 else [images]


class ImageReader:
    """Reader of images in batches, with several threads; scales and center-crops to `size` = (h, w)."""

    def __init__(
        self, size: Size, image_loader: ImageLoader | None = None, batch_size: int = 32, threads: int = 4
    ) -> None:
        self.size, self.batch_size, self.threads = size, batch_size, threads
        self.image_loader = image_loader or ImageLoader(LoadImage())

    def __call__(self, images: ImageLikes) -> Iterator[tuple[list[str], np.ndarray]]:
        """Yield batches of names (paths or indices) and pixels (B, H, W, C); skip corrupt images with a warning."""
        listed = iter(enumerate(list_all(images, self.image_loader)))
        with ThreadPoolExecutor(self.threads) as pool:
            while chunk := list(islice(listed, self.batch_size)):
                read = [one for one in pool.map(self._read, chunk) if one is not None]
                if read:
                    names, pixels = zip(*read, strict=True)
                    yield list(names), np.stack(pixels)

    def _read(self, indexed: tuple[int, ImageLike]) -> tuple[str, np.ndarray] | None:
        """Return an image's name and its pixels (H, W, C); None if it is corrupt."""
        index, image = indexed
        name = os.fspath(image) if isinstance(image, str | os.PathLike) else str(index)
        try:
            return name, self.image_loader.read(image, self.size)
        except CorruptImageError as error:
            print_log(f'left out: {error}', 'current', logging.WARNING)
            return None
