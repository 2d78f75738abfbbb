"""Pictures from whatever holds them: files, folders, arrays, open pictures, and lists of any.

Letters: B pictures, H x W pixels.
"""

import logging
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import numpy as np
from mmengine.logging import print_log
from PIL import Image, ImageOps

from mixmae_mm.datasets.listing import list_pictures
from mixmae_mm.datasets.loading import LoadPicture, UnreadablePictureError
from mixmae_mm.models.positions import Size

Picture = str | os.PathLike | np.ndarray | Image.Image
Pictures = Picture | Iterable[Picture]


def list_all(pictures: Pictures) -> Iterable[Picture]:
    """List single pictures.

    Raises:
        ValueError: a folder without pictures, or an array that holds none.
    """
    if isinstance(pictures, str | os.PathLike):
        path = os.fspath(pictures)
        return (entry['img_path'] for entry in list_pictures(path)) if os.path.isdir(path) else [path]
    if isinstance(pictures, Image.Image):
        return [pictures]
    if isinstance(pictures, np.ndarray):
        if pictures.dtype != np.uint8 or pictures.ndim not in (3, 4) or pictures.shape[-1] != 3:
            raise ValueError(
                f'an array of {pictures.dtype} {pictures.shape} holds no pictures: give RGB, uint8, (H, W, 3) or '
                '(B, H, W, 3)'
            )
        return [pictures] if pictures.ndim == 3 else pictures
    return (single for picture in pictures for single in list_all(picture))


class PictureReader:
    """Read pictures, turned upright, scaled, and cropped in the middle to one size.

    Args:
        size: Height and width in pixels.
        mode: 'RGB', or 'L' for grey ones.
        batch_size: Pictures that are read at a time.
        threads: How many read them.
    """

    def __init__(self, size: Size, mode: str = 'RGB', batch_size: int = 32, threads: int = 4) -> None:
        self.size, self.batch_size, self.threads = size, batch_size, threads
        self.load = LoadPicture(mode)

    def __call__(self, pictures: Pictures) -> Iterator[tuple[list[str], np.ndarray]]:
        """Yield names and pixels, uint8 (B, H, W, 3 or 1), in batches; what cannot be read is left out, with a warning.

        Files are named by their paths, all else by its number.

        Raises:
            ValueError: as of `list_all`.
        """
        listed = iter(enumerate(list_all(pictures)))
        with ThreadPoolExecutor(self.threads) as pool:
            while chunk := list(islice(listed, self.batch_size)):
                read = [one for one in pool.map(lambda numbered: self._read(*numbered), chunk) if one is not None]
                if read:
                    names, pixels = zip(*read, strict=True)
                    yield list(names), np.stack(pixels)

    def _read(self, number: int, picture: Picture) -> tuple[str, np.ndarray] | None:
        """Give a picture's name and its pixels, (H, W, 3 or 1); None, and a warning, if it cannot be read."""
        name = str(number)
        if isinstance(picture, str | os.PathLike):
            name = os.fspath(picture)
            try:
                picture = self.load(dict(img_path=name))['img']
            except UnreadablePictureError as error:
                print_log(f'left out: {error}', logger='current', level=logging.WARNING)
                return None
        else:
            opened = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
            picture = self.load.decode(opened)
        fitted = np.asarray(ImageOps.fit(Image.fromarray(picture), self.size[::-1], Image.Resampling.BICUBIC))
        return name, fitted if fitted.ndim == 3 else fitted[..., None]
