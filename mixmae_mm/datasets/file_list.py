"""The images below a folder, in one block of memory."""

import copy
import os
import time
from collections import Counter
from collections.abc import Sequence

import numpy as np
from mmengine.logging import print_log

from mixmae_mm.datasets.directory_walk import EXTENSIONS, describe, extension, files_below, kinds
from mixmae_mm.utils.names import printable


class Listing(Sequence):
    """Paths of images as a sequence of `dict(img_path=...)`, which cannot be changed.

    A list of dicts costs about 400 bytes an image, and again in every loader worker. Here an image costs the bytes of
    its path below `root`, ended by a zero in `paths`, and 8 more, and workers share them. `contents` is for logs.
    """

    def __init__(self, root: str, paths: bytes, contents: str = '') -> None:
        self.root, self.paths, self.contents = root, paths, contents
        self.ends = np.flatnonzero(np.frombuffer(paths, np.uint8) == 0)
        self.positions = range(len(self.ends))

    def __len__(self) -> int:
        """Count the images."""
        return len(self.positions)

    def __getitem__(self, index: int | slice) -> 'dict | Listing':
        """Return one image, or a part of the listing that shares its memory."""
        if isinstance(index, slice):
            part = copy.copy(self)
            part.positions = self.positions[index]
            return part
        position = self.positions[index]
        start = self.ends[position - 1] + 1 if position else 0
        return dict(img_path=os.path.join(self.root, os.fsdecode(self.paths[start : self.ends[position]])))

    def __deepcopy__(self, memo: dict) -> 'Listing':
        """Return itself, as nothing can change it."""
        return self


def list_images(root: str, extensions: Sequence[str] | None = None) -> Listing:
    """List the images below a folder, of `extensions` in lower case, or `EXTENSIONS`.

    Raises:
        ValueError: There are none.
    """
    start, skip, wanted = time.perf_counter(), len(os.path.join(root, '')), frozenset(extensions or EXTENSIONS)
    read, others, paths = Counter(), Counter(), bytearray()
    for path in files_below(root):
        its = extension(path)
        if its in wanted:
            read[its] += 1
            paths += os.fsencode(path[skip:] + '\0')
        else:
            others[its] += 1
    if not paths:
        raise ValueError(
            f'no image below {root!r}: it holds {describe(others)}; images end in {" ".join(extensions or EXTENSIONS)} '
            '(in either case). Set data_root to a folder with such files.'
        )
    listing = Listing(root, bytes(paths), f'{kinds(read)}; {describe(others)} left out')
    seconds = f'{time.perf_counter() - start:.1f} s'
    print_log(f'{len(listing):,} images below {printable(root)} ({listing.contents}), listed in {seconds}', 'current')
    return listing
