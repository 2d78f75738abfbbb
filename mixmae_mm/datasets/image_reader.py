"""Pictures from whatever holds them: files, folders, arrays, open pictures, and lists of any.

Letters: B pictures, H x W pixels, C channels.
"""

import logging
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import numpy as np
from mmengine.logging import print_log
from PIL import Image

from mixmae_mm.datasets.file_list import list_pictures
from mixmae_mm.datasets.read_images import ImageLike, Reading
from mixmae_mm.datasets.transforms.load_image import LoadPicture, UnreadablePictureError
from mixmae_mm.structures import Size
from mixmae_mm.utils.names import expand

ImageLikes = ImageLike | Iterable[ImageLike]


def list_all(pictures: ImageLikes, reading: Reading) -> Iterable[ImageLike]:
    """List single pictures.

    Raises:
        ValueError: a folder without pictures, or an array that holds none.
    """
    if isinstance(pictures, str | os.PathLike):
        path = expand(pictures)
        if not os.path.isdir(path):
            return [path]
        return (entry['img_path'] for entry in list_pictures(path, endings=reading.endings))
    if isinstance(pictures, Image.Image):
        return [pictures]
    if isinstance(pictures, np.ndarray):
        _check_array(pictures, reading.is_of_bands)
        return pictures if pictures.ndim == 4 else [pictures]
    return (single for picture in pictures for single in list_all(picture, reading))


def _check_array(pictures: np.ndarray, of_bands: bool) -> None:
    """Refuse an array that holds no pictures.

    Raises:
        ValueError: it holds none.
    """
    if of_bands and pictures.dtype.kind in 'uif' and pictures.ndim in (2, 3, 4):
        return
    if not of_bands and pictures.dtype == np.uint8 and pictures.ndim in (3, 4) and pictures.shape[-1] in (1, 3):
        return
    wanted = 'numbers, (H, W, C) or (B, H, W, C)' if of_bands else 'RGB or grey, uint8, (H, W, 3 or 1), or many of such'
    raise ValueError(f'an array of {pictures.dtype} {pictures.shape} holds no pictures: give {wanted}')


class PictureReader:
    """Read pictures, turned upright, scaled, and cropped in the middle to one size.

    Args:
        size: Height and width in pixels.
        reading: How files are read; photos in RGB unless told.
        batch_size: Images that are read at a time.
        threads: How many read them.
    """

    def __init__(self, size: Size, reading: Reading | None = None, batch_size: int = 32, threads: int = 4) -> None:
        self.size, self.batch_size, self.threads = size, batch_size, threads
        self.reading = reading or Reading(LoadPicture())

    def __call__(self, pictures: ImageLikes) -> Iterator[tuple[list[str], np.ndarray]]:
        """Yield names and pixels, (B, H, W, C), in batches; what cannot be read is left out, with a warning.

        Files are named by their paths, all else by its number.

        Raises:
            ValueError: as of `list_all`; an array with other bands than are read.
        """
        listed = iter(enumerate(list_all(pictures, self.reading)))
        with ThreadPoolExecutor(self.threads) as pool:
            while chunk := list(islice(listed, self.batch_size)):
                read = [one for one in pool.map(lambda numbered: self._read(*numbered), chunk) if one is not None]
                if read:
                    names, pixels = zip(*read, strict=True)
                    yield list(names), np.stack(pixels)

    def _read(self, number: int, picture: ImageLike) -> tuple[str, np.ndarray] | None:
        """Give a picture's name and its pixels, (H, W, C); None, and a warning, if it cannot be read."""
        name = os.fspath(picture) if isinstance(picture, str | os.PathLike) else str(number)
        try:
            return name, self.reading.read(picture, self.size)
        except UnreadablePictureError as error:
            print_log(f'left out: {error}', logger='current', level=logging.WARNING)
            return None
