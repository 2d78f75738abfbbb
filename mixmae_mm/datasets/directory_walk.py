"""Files below a folder, in one order on every machine, which of them are images, and when folders last changed."""

import itertools
import operator
import os
import stat
import time
from collections import Counter
from collections.abc import Iterator, Sequence

from mixmae_mm.utils.names import expand, printable

EXTENSIONS = (
    '.avif', '.bmp', '.dib', '.gif', '.j2k', '.jfif', '.jp2', '.jpe', '.jpeg', '.jpg', '.pbm', '.pgm', '.png', '.pnm',
    '.ppm', '.tif', '.tiff', '.webp',
)  # fmt: skip
"""Of images that are read, the same for pre-training, fine-tuning (configs/_base_/datasets) and all tools."""

SETTLED = 2.0  # seconds: a folder may change again within its clock's tick, without changing its stamp
Stamp = tuple[int, int, int]
HIDDEN = ('__MACOSX', '@eaDir')  # what macOS, and disks in a network, add to folders; names with a dot are hidden too
NO_FOLDER: Stamp = (0, 0, 0)
UNSETTLED: Stamp = (-1, -1, -1)


def files_below(folder: str, entered: set[str] | None = None) -> Iterator[str]:
    """Yield the files below a folder, sorted; `entered` holds the real paths visited, so that links cannot loop."""
    for below, names in runs_below(folder, set() if entered is None else entered, {}):
        yield from (os.path.join(below, name) for name in names)


def runs_below(folder: str, entered: set[str], stamps: dict[str, Stamp]) -> Iterator[tuple[str, list[str]]]:
    """Yield folders with names of files in them, in order: one run of files up to the next folder among them.

    `entered` holds the real paths visited, so that links cannot loop; `stamps` gets when each folder last changed.
    """
    stamps[folder] = _settled(stamp_of(folder))
    real = os.path.realpath(folder)
    if real in entered:
        return
    entered.add(real)
    with os.scandir(folder) as entries:
        names = sorted((entry.name, _is_folder(entry, stamps)) for entry in entries if not is_hidden(entry.name))
    for are_folders, run in itertools.groupby(names, operator.itemgetter(1)):
        if are_folders:
            for name, _ in run:
                yield from runs_below(os.path.join(folder, name), entered, stamps)
        else:
            yield folder, [name for name, _ in run]


def _is_folder(entry: os.DirEntry, stamps: dict[str, Stamp]) -> bool:
    """Return whether an entry is a folder or a link to one; record links that are broken until a disk is mounted."""
    is_folder = entry.is_dir()
    if not is_folder and entry.is_symlink() and extension(entry.name) not in EXTENSIONS:
        stamps[entry.path] = NO_FOLDER
    return is_folder


def stamp_of(folder: str) -> Stamp:
    """Return when a folder last changed, in nanoseconds, by its clock, which programs can set, and by the kernel's.

    With them the folder's number on its disk: two folders can change within one tick of the clock.
    """
    try:
        state = os.stat(folder)
    except OSError:
        return NO_FOLDER
    number = state.st_ino & (2**63 - 1)
    return (state.st_mtime_ns, state.st_ctime_ns, number) if stat.S_ISDIR(state.st_mode) else NO_FOLDER


def _settled(stamp: Stamp) -> Stamp:
    """Mark the stamp of a folder that changed so lately that it could change again and keep its stamp."""
    return UNSETTLED if max(stamp[:2]) > time.time_ns() - SETTLED * 1e9 else stamp


def is_hidden(name: str) -> bool:
    """Return whether a name, with slashes, is left out and no class: a part starts with a dot or is in `HIDDEN`."""
    return any(part.startswith('.') or part in HIDDEN for part in name.split('/'))


def class_folders(folder: str) -> list[str]:
    """List the folders in a folder that are not masked, sorted: the names of classes, by label."""
    folder = expand(folder)
    if not os.path.isdir(folder):
        return []
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir() and not is_hidden(entry.name))


def extension(name: str) -> str:
    """Return the extension in lower case, with its dot; the name does not start with one."""
    dot = name.rfind('.')
    return name[dot:].lower() if dot > 0 else ''


def is_image(name: str, extensions: Sequence[str] | None = None) -> bool:
    """Return whether a name, with slashes, is that of an image that is not hidden."""
    return extension(name.rpartition('/')[2]) in (extensions or EXTENSIONS) and not is_hidden(name)


def describe(seen: Counter) -> str:
    """Count the files of each extension in words."""
    return f'{seen.total()} files ({_kinds(seen)})' if seen else 'no files at all'


def contents_of(seen: Counter, extensions: Sequence[str] | None = None) -> str:
    """Count the files that are read, by extension, and those left out, in words."""
    wanted = extensions or EXTENSIONS
    read, others = Counter(), Counter()
    for its, count in seen.items():
        (read if its in wanted else others)[its] += count
    return f'{_kinds(read)}; {describe(others) if others else "no files"} left out'


def _kinds(seen: Counter) -> str:
    """List the most frequent extensions with their numbers."""
    kinds = ', '.join(f'{count:,} {printable(its) or "without extension"}' for its, count in seen.most_common(5))
    return kinds + (', ...' if len(seen) > 5 else '')
