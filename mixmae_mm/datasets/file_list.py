"""The images below a folder: held in one block of memory, and kept in a file until the next start.

A list of dicts costs about 400 bytes an image, and again in every loader worker, as reading an entry writes its
reference count. Here an image costs the bytes of its path and 9 more, and workers share them.

The file holds when each folder last changed (adding, removing and renaming files all count). The next start looks at
the folders only, and lists anew unless all are as they were.
"""

import functools
import hashlib
import logging
import os
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from mmengine.logging import print_log

from mixmae_mm.datasets import array_file
from mixmae_mm.datasets.directory_walk import (
    EXTENSIONS,
    UNSETTLED,
    Stamp,
    contents_of,
    describe,
    extension,
    runs_below,
    stamp_of,
)
from mixmae_mm.utils.names import expand, printable

KEPT_FROM = 10_000  # images: fewer are listed faster than a file is worth


class Listing(Sequence):
    """Paths of images as a sequence of `dict(img_path=...)` that takes the place of a list; it cannot be changed.

    A slice or a choice of images shares the memory of the whole, and so do copies. Pickled, one that lies in a file
    goes by the file's name, so that loader workers that are spawned share it too.

    Args:
        root: the folder that the paths start from.
        paths: (B,) uint8, the paths in the bytes of the file system, each ended by a zero.
        starts: (P + 1,) int64, where each path starts, and the end of the last.
        positions: which of the P images, in which order; all of them if not given.
        source: the file that the arrays are mapped from, and its digest.

    `contents` says how many files of which extensions it holds, and how many were left out, where that was counted.
    """

    def __init__(
        self,
        root: str,
        paths: np.ndarray,
        starts: np.ndarray,
        positions: Sequence[int] | np.ndarray | None = None,
        source: tuple[str, bytes] | None = None,
    ) -> None:
        self.root, self.paths, self.starts, self.source = root, paths, starts, source
        self.positions = range(len(starts) - 1) if positions is None else positions
        self.contents = ''

    @classmethod
    def of(cls, root: str, paths: bytes | bytearray) -> 'Listing':
        """Make one of paths in the bytes of the file system, each ended by a zero."""
        flat = np.frombuffer(paths, np.uint8)
        return cls(root, flat, np.concatenate([[0], np.flatnonzero(flat == 0) + 1]))

    def __len__(self) -> int:
        """Count the images."""
        return len(self.positions)

    def __getitem__(self, index: int | slice) -> 'dict | Listing':
        """Return one image, or a part of the listing.

        Raises:
            IndexError: there are not so many images.
        """
        if isinstance(index, slice):
            return self._at(self.positions[index])
        if not -len(self) <= index < len(self):
            raise IndexError(f'there is no image {index}: the listing of {self.root!r} holds {len(self)}')
        position = self.positions[index]
        path = self.paths[self.starts[position] : self.starts[position + 1] - 1].tobytes()
        return dict(img_path=os.path.join(self.root, os.fsdecode(path)))

    def take(self, indices: Sequence[int]) -> 'Listing':
        """Return the images at these places, in this order.

        Raises:
            IndexError: there are not so many images.
        """
        chosen = np.asarray(indices, np.int64)
        if len(chosen) and not -len(self) <= chosen.min() <= chosen.max() < len(self):
            raise IndexError(
                f'images {chosen.min()} to {chosen.max()} were asked for: '
                f'the listing of {self.root!r} holds {len(self)}'
            )
        return self._at(np.asarray(self.positions, np.int64)[chosen])

    def _at(self, positions: Sequence[int] | np.ndarray) -> 'Listing':
        """Choose other positions of the same arrays."""
        return Listing(self.root, self.paths, self.starts, positions, self.source)

    def __deepcopy__(self, memo: dict) -> 'Listing':
        """Return itself, as nothing can change it."""
        return self

    def __reduce__(self) -> tuple:
        """Pickle the file's name while it holds what is mapped here, and the arrays otherwise."""
        if self.source and array_file.holds(*self.source):
            return _reopened, (self.root, self.source, self.positions)
        return Listing, (self.root, self.paths, self.starts, self.positions)


def _reopened(root: str, source: tuple[str, bytes], positions: Sequence[int] | np.ndarray) -> Listing:
    """Map the file of a pickled listing."""
    starts, _, _, paths = array_file.read_again(*source)
    return Listing(root, paths, starts.view('<i8'), positions, source)


def list_images(root: str, cache: bool | str = True, extensions: Sequence[str] | None = None) -> Listing:
    """List the images below a folder, or take the listing of an earlier start if no folder has changed since.

    Args:
        root: the folder.
        cache: keep the listing of a large folder in a file below `~/.cache` (`$XDG_CACHE_HOME`), or below a folder
            given here; False neither keeps nor looks.
        extensions: of images, in lower case; `EXTENSIONS` if not given.

    Raises:
        ValueError: there are no images.
    """
    file = cache_file(root, cache, extensions) if cache else None
    listing = file and _kept(file, root)
    if listing:
        _log(f'{_counted(listing)}, from the listing cached in {printable(file)} (remove it to list anew)')
        return listing
    start = time.perf_counter()
    listing, stamps = list_anew(root, extensions)
    _log(f'{_counted(listing)}, listed in {time.perf_counter() - start:.1f} s')
    return keep(listing, stamps, file) if file else listing


def _counted(listing: Listing) -> str:
    """Count the images, and what was left out, in words."""
    return f'{len(listing):,} images below {printable(listing.root)} ({listing.contents})'


def cache_file(root: str, cache: bool | str = True, extensions: Sequence[str] | None = None) -> str:
    """Name the file for a folder's listing, after its real path and the extensions."""
    home = os.environ.get('XDG_CACHE_HOME') or os.path.join(os.path.expanduser('~'), '.cache')
    folder = os.path.join(home, 'mixmae_mm', 'listings') if cache is True else expand(cache)
    return os.path.join(os.path.abspath(folder), f'{_key(root, extensions or EXTENSIONS).hex()}.listing')


def _key(root: str, extensions: Sequence[str]) -> bytes:
    """Return a digest of what a listing depends on beside the folders."""
    return hashlib.sha256(os.fsencode('\0'.join((os.path.realpath(root), *extensions)))).digest()


def _key_of(file: str) -> bytes:
    """Return the key that a file of `cache_file` is named after."""
    return bytes.fromhex(os.path.splitext(os.path.basename(file))[0])


def list_anew(root: str, extensions: Sequence[str] | None = None) -> tuple[Listing, dict[str, Stamp]]:
    """List the images below a folder; return also the folders (relative) and when each last changed.

    Raises:
        ValueError: there are no images.
    """
    seen, stamps, paths, wanted = Counter(), {}, bytearray(), frozenset(extensions or EXTENSIONS)
    skip = len(os.path.join(root, ''))
    for folder, names in runs_below(root, set(), stamps):
        of_names = [extension(name) for name in names]
        seen.update(of_names)
        lead = os.path.join(folder[skip:], '')
        found = (f'{lead}{name}\0' for name, its in zip(names, of_names, strict=True) if its in wanted)
        paths += os.fsencode(''.join(found))
    if not paths:
        raise ValueError(
            f'no image below {root!r}: it holds {describe(seen)}; '
            f'images end in {" ".join(extensions or EXTENSIONS)} (in either case). '
            'Set data_root to a folder with such files.'
        )
    listing = Listing.of(root, paths)
    listing.contents = contents_of(seen, extensions)
    return listing, {folder[skip:]: stamp for folder, stamp in stamps.items()}


def keep(listing: Listing, stamps: dict[str, Stamp], file: str) -> Listing:
    """Write a listing of `list_anew` to a file, and map it from there, unless it is small or cannot be written."""
    folders = np.frombuffer(os.fsencode('\0'.join((*stamps, listing.contents))), np.uint8)
    arrays = (listing.starts.astype('<i8', copy=False), np.array(list(stamps.values()), '<i8'), folders, listing.paths)
    try:
        if len(listing) < KEPT_FROM:
            Path(file).unlink(missing_ok=True)
            return listing
        array_file.write(file, _key_of(file), arrays)
        source, (starts, _, _, paths) = _open(file)
    except (OSError, ValueError) as error:
        reason = getattr(error, 'strerror', None) or error
        _warn_once(f'listings of folders cannot be kept in {os.path.dirname(file)} for the next start: {reason}')
        return listing
    kept = Listing(listing.root, paths, starts, source=source)
    kept.contents = listing.contents
    return kept


def _open(file: str) -> tuple[tuple[str, bytes], list[np.ndarray]]:
    """Map a file; return its name and digest, starts (P + 1,), stamps (F, 3), folders and contents, paths (bytes)."""
    digest, (starts, stamps, folders, paths) = array_file.read(file, _key_of(file))
    return (file, digest), [starts.view('<i8'), stamps.view('<i8').reshape(-1, 3), folders, paths]


def _kept(file: str, root: str) -> Listing | None:
    """Return the listing of an earlier start if no folder has changed since; otherwise log why not."""
    try:
        source, (starts, stamps, folders, paths) = _open(file)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        _log(f'the listing of {printable(root)} cached in {printable(file)} cannot be used: {error}; listing anew')
        return None
    *names, contents = os.fsdecode(folders.tobytes()).split('\0')
    known = zip(names, map(tuple, stamps.tolist()), strict=True)
    changed = [(name, stamp) for name, stamp in known if stamp_of(os.path.join(root, name)) != stamp]
    if not changed:
        kept = Listing(root, paths, starts, source=source)
        kept.contents = contents
        return kept
    first, stamp = changed[0]
    how = 'was being changed when it was listed' if stamp == UNSETTLED else 'has changed'
    _log(
        f'the listing of {printable(root)} cached in {printable(file)} is stale: '
        f'{printable(os.path.join(root, first))} {how} ({len(changed):,} of {len(names):,} folders); listing anew'
    )
    return None


def _log(text: str, level: int = logging.INFO) -> None:
    """Log to the run's logger."""
    print_log(text, logger='current', level=level)


@functools.cache
def _warn_once(text: str) -> None:
    """Warn, once a process for each text."""
    _log(text, logging.WARNING)
