"""Any folder of images as a dataset: no classes, no annotation file, and corrupt images do not stop a run."""

import os
from typing import Any

from mixmae_mm.datasets.file_list import Listing, list_images
from mixmae_mm.datasets.image_dataset import ImageDataset, check_exists
from mixmae_mm.registry import DATASETS


@DATASETS.register_module()
class ImageFolder(ImageDataset):
    """All images below a folder, at any depth, in the same order on every machine.

    Names that start with a dot are left out; extensions may be in upper case; linked folders are followed once. An
    image that cannot be read is replaced by the next one in order, counted and listed (`ImageDataset`).

    The images are held in a `Listing`, so that memory does not grow with the loader's workers, and the listing of a
    large folder is kept in a file, so that the next start takes a second.

    Args:
        data_root: the folder.
        cache: keep the listing of a large folder (10,000 images or more) in a file below `~/.cache`, or below the
            folder given here, and use it while no folder has changed; False neither keeps nor looks.
        settings: more of `ImageDataset`.

    Raises:
        ValueError: an invalid `cache`; the folder is missing, is a file, or holds no image.
    """

    def __init__(self, data_root: str, *args: Any, cache: bool | str = True, **settings: Any) -> None:
        if not isinstance(cache, bool | str):
            raise ValueError(f'cache must be True, False or a folder, got {cache!r}')
        self.cache = cache
        super().__init__(data_root, *args, **settings)

    def load_data_list(self) -> Listing:
        """List the images, sorted folder by folder."""
        _check_folder(self.data_root)
        return list_images(self.data_root, self.cache, self.extensions)


def _check_folder(folder: str) -> None:
    """Check that a path is a folder."""
    if os.path.isfile(folder):
        raise ValueError(
            f'data_root {folder!r} is a file; give the folder that holds the images (for a zip or tar file take '
            'mixmae_mm.ImageArchive)'
        )
    check_exists(folder)
