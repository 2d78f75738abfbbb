"""Atomic writes, because a process may be killed, or a disk fill up, at any moment."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

UNFINISHED = '.unfinished'


@contextmanager
def atomic_write(path: str | Path) -> Iterator[BinaryIO]:
    """Open a temporary file that replaces `path` once it is written and on the disk."""
    path = Path(path)
    unfinished = path.with_name(path.name + UNFINISHED)
    try:
        with unfinished.open('wb') as file:
            yield file
        put_in_place(unfinished, path)
    except OSError as error:
        text = f'{error.strerror or error} (any previous file is unchanged)'
        raise OSError(error.errno, text, str(path)) from error
    finally:
        unfinished.unlink(missing_ok=True)


def put_in_place(unfinished: Path, path: Path) -> None:
    """Rename a file over another in one step, once it is on the disk; then sync the folder, if that is possible."""
    _sync(unfinished)
    os.replace(unfinished, path)
    with suppress(OSError):  # network shares cannot sync folders
        _sync(path.parent)


def _sync(path: Path) -> None:
    """Wait until a file or a folder is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
