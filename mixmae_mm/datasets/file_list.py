"""The images below a folder, in one order on every machine and in one block of memory."""

import copy
import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
from mmengine.logging import print_log

from mixmae_mm.utils.names import expand, printable

EXTENSIONS = (
    '.avif', '.bmp', '.dib', '.gif', '.j2k', '.jfif', '.jp2', '.jpe', '.jpeg', '.jpg', '.pbm', '.pgm', '.png', '.pnm',
    '.ppm', '.tif', '.tiff', '.webp',
)  # fmt: skip
"""Of images that are read, in pre-training, fine-tuning (configs/_base_/datasets) and all tools."""
SYSTEM_FOLDERS = ('__MACOSX', '@eaDir')  # which macOS and network disks add


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
    """List the images below a folder, of `extensions` in lower case, or `EXTENSIONS`; raise ValueError for none."""
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


def files_below(folder: str, entered: set[str] | None = None) -> Iterator[str]:
    """Yield the files below a folder, sorted; `entered` holds the real paths visited, so that links cannot loop."""
    entered = set() if entered is None else entered
    real = os.path.realpath(folder)
    if real in entered:
        return
    entered.add(real)
    with os.scandir(folder) as entries:
        found = sorted((entry.name, entry.is_dir()) for entry in entries if not is_hidden(entry.name))
    start = os.path.join(folder, '')
    for name, is_folder in found:
        if is_folder:
            yield from files_below(start + name, entered)
        else:
            yield start + name


def is_hidden(name: str) -> bool:
    """Return whether a file or folder is left out, and no class: its name starts with a dot or is a system's."""
    return name.startswith('.') or name in SYSTEM_FOLDERS


def class_folders(folder: str) -> list[str]:
    """List the folders in a folder that are not hidden, sorted: the names of classes, by label."""
    folder = expand(folder)
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else ()
    return [name for name in names if not is_hidden(name) and os.path.isdir(os.path.join(folder, name))]


def extension(name: str) -> str:
    """Return the extension in lower case, with its dot; the name does not start with one."""
    dot = name.rfind('.')
    return name[dot:].lower() if dot > 0 and '/' not in name[dot:] else ''


def kinds(seen: Counter) -> str:
    """List the extensions of files with their numbers, the most frequent first."""
    listed = ', '.join(f'{count:,} {printable(its) or "without extension"}' for its, count in seen.most_common(5))
    return listed + ', ...' * (len(seen) > 5)


def describe(seen: Counter) -> str:
    """Count the files of each extension in words."""
    return f'{seen.total():,} files ({kinds(seen)})' if seen else 'no files'
