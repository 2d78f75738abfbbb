"""Lists of the images below a folder, in the same order on every machine and in one block of memory."""

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
"""Extensions of the images that are read in pre-training, fine-tuning (configs/_base_/datasets) and all tools."""
OTHER_IMAGES = ('.dng', '.exr', '.heic', '.heif', '.jxl', '.psd', '.svg', '.tga')
"""Extensions of images that are not read, for messages about files that are left out."""
SYSTEM_FOLDERS = ('__MACOSX', '@eaDir')  # added by macOS and network disks


class Listing(Sequence):
    """Immutable sequence of image paths, as `dict(img_path=...)`.

    A list of dicts takes about 400 bytes per image, and again in every loader worker. Here an image takes 8 bytes plus
    its path below `root`, stored in `paths` with a zero byte behind it, and workers share them. `contents` is for logs.
    """

    def __init__(self, root: str, paths: bytes, contents: str = '') -> None:
        self.root, self.paths, self.contents = root, paths, contents
        self.ends = np.flatnonzero(np.frombuffer(paths, np.uint8) == 0)
        self.positions = range(len(self.ends))

    def __len__(self) -> int:
        """Count the images."""
        return len(self.positions)

    def __getitem__(self, index: int | slice) -> 'dict | Listing':
        """Return one image, or a slice of the listing that shares its memory."""
        if isinstance(index, slice):
            part = copy.copy(self)
            part.positions = self.positions[index]
            return part
        position = self.positions[index]
        start = self.ends[position - 1] + 1 if position else 0
        return dict(img_path=os.path.join(self.root, os.fsdecode(self.paths[start : self.ends[position]])))

    def __deepcopy__(self, memo: dict) -> 'Listing':
        """Return the listing itself, because it is immutable."""
        return self


def list_images(root: str, extensions: Sequence[str] | None = None) -> Listing:
    """List the images below a folder, by lower-case `extensions` or `EXTENSIONS`; raise ValueError if it has none."""
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
    """Return whether a file or folder is ignored, and no class: it starts with a dot or is one of `SYSTEM_FOLDERS`."""
    return name.startswith('.') or name in SYSTEM_FOLDERS


def class_folders(folder: str) -> list[str]:
    """List the class folders of a folder, without hidden ones, sorted so that a class's position is its label."""
    folder = expand(folder)
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else ()
    return [name for name in names if not is_hidden(name) and os.path.isdir(os.path.join(folder, name))]


def extension(name: str) -> str:
    """Return the extension of a path in lower case, with its dot; the file's name must not start with a dot."""
    dot = name.rfind('.')
    return name[dot:].lower() if dot > 0 and '/' not in name[dot:] else ''


def kinds(seen: Counter) -> str:
    """Format the number of files of each extension, the most frequent first, at most five."""
    listed = ', '.join(f'{count:,} {printable(its) or "without extension"}' for its, count in seen.most_common(5))
    return listed + ', ...' * (len(seen) > 5)


def describe(seen: Counter) -> str:
    """Format the number of files, in total and of each extension."""
    return f'{seen.total():,} file{"s" * (seen.total() > 1)} ({kinds(seen)})' if seen else 'no files'
