"""Atomic writes: a process may be killed, or a disk fill up, at any moment."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

UNFINISHED = '.unfinished'


@contextmanager
def atomic_write(path: str | Path, mark: str = '') -> Iterator[BinaryIO]:
    """Open a temporary file, which replaces `path` when it is written and on the disk.

    Its name contains `mark`, where several processes may write at once.
    """
    path = Path(path)
    unfinished = path.with_name(f'{path.name}{mark}{UNFINISHED}')
    try:
        with unfinished.open('wb') as file:
            yield file
        put_in_place(unfinished, path)
    except (OSError, RuntimeError) as error:
        reason = error if isinstance(error, OSError) else error.__context__  # PyTorch's writer hides it
        if not isinstance(reason, OSError):
            raise
        text = f'{reason.strerror} (what was there before is left as it was)'
        raise OSError(reason.errno, text, str(path)) from error
    finally:
        unfinished.unlink(missing_ok=True)


def put_in_place(unfinished: Path, path: Path) -> None:
    """Rename a file over another, in one step, when it and then its name are on the disk."""
    _sync(unfinished)
    os.replace(unfinished, path)
    _sync(path.parent)


def _sync(path: Path) -> None:
    """Wait until a file or a folder is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
