"""A checksum inside a checkpoint: the comment of PyTorch's zip archive, which other readers ignore."""

import hashlib
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from mixmae_mm.utils.atomic_write import atomic_write

END, LENGTH = b'PK\x05\x06', struct.Struct('<H')
"""How the last 22 bytes of an archive without a comment begin, and the format of the comment's length at their end."""
MARK = b'sha256 of what is before this comment: '
CHUNK = 1 << 24


@contextmanager
def checked_write(path: str | Path) -> Iterator[BinaryIO]:
    """Open a checkpoint for an `atomic_write` that adds a checksum; create the folders above it."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file:
        yield file
        file.flush()
        add_checksum(file.name)


def add_checksum(path: str | Path) -> None:
    """Add a checksum to a complete archive without a comment; leave any other file unchanged."""
    with Path(path).open('r+b') as file:
        size = file.seek(0, 2) - LENGTH.size
        file.seek(max(0, size - 20))
        end = file.read()
        if end[:4] == END and end[-2:] == b'\0\0':  # an archive without a comment
            comment = MARK + sha256(file, size).encode()
            file.seek(size)
            file.write(LENGTH.pack(len(comment)) + comment)


def check_sum(path: str | Path) -> None:
    """Compare a file with its checksum, if it has one (about 1 s per GB), unless MIXMAE_MM_CHECKSUM=0 is set.

    Raise ValueError if they differ.
    """
    if os.environ.get('MIXMAE_MM_CHECKSUM') == '0':
        return
    with Path(path).open('rb') as file:
        tail = len(MARK) + 2 * hashlib.sha256().digest_size
        size = file.seek(0, 2) - tail - LENGTH.size
        if size < 0:
            return
        file.seek(size + LENGTH.size)
        comment = file.read()
        if not comment.startswith(MARK):
            return
        found = sha256(file, size)
    if found.encode() != comment.removeprefix(MARK):
        raise ValueError(
            f'{path} is damaged: its checksum has changed since it was written. Use another checkpoint, or a copy'
        )


def sha256(file: BinaryIO, size: int) -> str:
    """Return the SHA-256 of the first `size` bytes of a file."""
    file.seek(0)
    found = hashlib.sha256()
    while part := file.read(min(CHUNK, size - file.tell())):
        found.update(part)
    return found.hexdigest()


def sha256_of(path: str | Path) -> str:
    """Return the SHA-256 of a file."""
    with Path(path).open('rb') as file:
        return sha256(file, file.seek(0, 2))
