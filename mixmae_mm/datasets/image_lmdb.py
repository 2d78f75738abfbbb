"""An LMDB database of images as a dataset."""

import os
from typing import Any

from mmengine.logging import print_log

from mixmae_mm.datasets.directory_walk import is_image
from mixmae_mm.datasets.file_list import Listing
from mixmae_mm.datasets.image_dataset import ImageDataset, check_exists
from mixmae_mm.registry import DATASETS
from mixmae_mm.utils.names import printable
from mixmae_mm.utils.optional import need

_OPENED: dict[str, tuple[int, Any]] = {}


@DATASETS.register_module()
class ImageLMDB(ImageDataset):
    """The values of an LMDB database whose keys are names of images and whose values their files' bytes.

    If no key is a name as images have, all values are taken for images. They come in the order in which
    `ImageFolder` would list files of these names. Needs `pip install lmdb`. mmengine's own LmdbBackend takes ASCII
    keys only, and shares a database with forked processes, which LMDB forbids.

    Settings are those of `ImageDataset`; `data_root` is the database, a folder or a file.

    Raises:
        ValueError: there is no such database, or it is empty.
        ImportError: lmdb is not installed.
    """

    def load_data_list(self) -> Listing:
        """List the keys."""
        check_exists(self.data_root)
        with _database(self.data_root).begin() as transaction:
            keys = [os.fsdecode(key) for key in transaction.cursor().iternext(values=False)]
        names = [key for key in keys if is_image(key, self.extensions)] or keys
        if not names:
            raise ValueError(f'the LMDB database {self.data_root!r} is empty')
        names.sort(key=lambda name: name.split('/'))
        listing = Listing.of(self.data_root, b''.join(os.fsencode(name) + b'\0' for name in names))
        listing.contents = f'{len(keys) - len(names):,} other keys left out'
        print_log(f'{len(names):,} images in {printable(self.data_root)} ({listing.contents})', 'current')
        return listing

    def read(self, image: dict) -> bytes:
        """Read an image's bytes out of the database.

        Raises:
            KeyError: the key is gone.
        """
        key = image['img_path'][len(os.path.join(self.data_root, '')) :]
        with _database(self.data_root).begin() as transaction:
            content = transaction.get(os.fsencode(key))
        if content is None:
            raise KeyError(f'there is no key {key!r} any more')
        return content


def _database(path: str) -> Any:
    """Return the database as this process has it open: once for all datasets, and not from before a fork."""
    path = os.path.realpath(path)
    process, database = _OPENED.get(path, (None, None))
    if process != os.getpid():
        if database is not None:
            database.close()  # this process's copy of it
        _OPENED[path] = os.getpid(), _open(path)
    return _OPENED[path][1]


def _open(path: str) -> Any:
    """Open a database to be read."""
    lmdb = need('lmdb', 'ImageLMDB')
    try:
        return lmdb.open(path, subdir=os.path.isdir(path), readonly=True, lock=False, readahead=False)
    except lmdb.Error as error:
        raise ValueError(f'{path!r} cannot be opened as an LMDB database: {error}') from error
