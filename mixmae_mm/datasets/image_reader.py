"""Images from whatever holds them: files, folders, arrays, open images, and lists of any.

Letters: B images, H x W pixels, C channels.
"""

import logging
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import numpy as np
from mmengine.logging import print_log
from PIL import Image

from mixmae_mm.datasets.file_list import list_images
from mixmae_mm.datasets.read_images import ImageLike, Reading
from mixmae_mm.datasets.transforms.load_image import CorruptImageError, LoadImage
from mixmae_mm.structures import Size
from mixmae_mm.utils.names import expand

ImageLikes = ImageLike | Iterable[ImageLike]


def list_all(images: ImageLikes, reading: Reading) -> Iterable[ImageLike]:
    """List single images.

    Raises:
        ValueError: a folder without images, or an array that holds none.
    """
    if isinstance(images, str | os.PathLike):
        path = expand(images)
        if not os.path.isdir(path):
            return [path]
        return (entry['img_path'] for entry in list_images(path, extensions=reading.extensions))
    if isinstance(images, Image.Image):
        return [images]
    if isinstance(images, np.ndarray):
        _check_array(images, reading.is_of_bands)
        return images if images.ndim == 4 else [images]
    return (single for image in images for single in list_all(image, reading))


def _check_array(images: np.ndarray, of_bands: bool) -> None:
    """Refuse an array that holds no images.

    Raises:
        ValueError: it holds none.
    """
    if of_bands and images.dtype.kind in 'uif' and images.ndim in (2, 3, 4):
        return
    if not of_bands and images.dtype == np.uint8 and images.ndim in (3, 4) and images.shape[-1] in (1, 3):
        return
    wanted = 'numbers, (H, W, C) or (B, H, W, C)' if of_bands else 'RGB or gray, uint8, (H, W, 3 or 1), or many of such'
    raise ValueError(f'an array of {images.dtype} {images.shape} holds no images: give {wanted}')


class ImageReader:
    """Read images, turned upright, scaled, and cropped in the middle to one size.

    Args:
        size: Height and width in pixels.
        reading: How files are read; photos in RGB unless told.
        batch_size: Images that are read at a time.
        threads: How many read them.
    """

    def __init__(self, size: Size, reading: Reading | None = None, batch_size: int = 32, threads: int = 4) -> None:
        self.size, self.batch_size, self.threads = size, batch_size, threads
        self.reading = reading or Reading(LoadImage())

    def __call__(self, images: ImageLikes) -> Iterator[tuple[list[str], np.ndarray]]:
        """Yield names and pixels, (B, H, W, C), in batches; what cannot be read is left out, with a warning.

        Files are named by their paths, all else by its number.

        Raises:
            ValueError: as of `list_all`; an array with other bands than are read.
        """
        listed = iter(enumerate(list_all(images, self.reading)))
        with ThreadPoolExecutor(self.threads) as pool:
            while chunk := list(islice(listed, self.batch_size)):
                read = [one for one in pool.map(lambda numbered: self._read(*numbered), chunk) if one is not None]
                if read:
                    names, pixels = zip(*read, strict=True)
                    yield list(names), np.stack(pixels)

    def _read(self, number: int, image: ImageLike) -> tuple[str, np.ndarray] | None:
        """Return an image's name and its pixels, (H, W, C); None, and a warning, if it cannot be read."""
        name = os.fspath(image) if isinstance(image, str | os.PathLike) else str(number)
        try:
            return name, self.reading.read(image, self.size)
        except CorruptImageError as error:
            print_log(f'left out: {error}', logger='current', level=logging.WARNING)
            return None
