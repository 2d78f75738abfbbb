"""Files below a folder, in one order on every machine, and which of them are images."""

import os
from collections import Counter
from collections.abc import Iterator

from mixmae_mm.utils.names import expand, printable

EXTENSIONS = (
    '.avif', '.bmp', '.dib', '.gif', '.j2k', '.jfif', '.jp2', '.jpe', '.jpeg', '.jpg', '.pbm', '.pgm', '.png', '.pnm',
    '.ppm', '.tif', '.tiff', '.webp',
)  # fmt: skip
"""Of images that are read, in pre-training, fine-tuning (configs/_base_/datasets) and all tools."""

SYSTEM_FOLDERS = ('__MACOSX', '@eaDir')  # which macOS and network disks add


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
    if not os.path.isdir(folder):
        return []
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir() and not is_hidden(entry.name))


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
    return f'{seen.total():,} files ({kinds(seen)})' if seen else 'no files at all'
