"""A few arrays in one memory-mapped file, which is verified before use.

No pickle: reading runs nothing. Processes that map the same file share its memory.
"""

import hashlib
import mmap
import os
import secrets
import struct
from collections.abc import Sequence
from contextlib import suppress

import numpy as np

from mixmae_mm.utils.atomic_write import atomic_write

MAGIC = b'mixmae_mm list 2'
ARRAYS = 4
HEADER = struct.Struct(f'<16s32s32s{ARRAYS}q')  # magic, digest of all that follows, key, bytes of each array
DIGESTED_FROM = 48


def write(file: str, key: bytes, arrays: Sequence[np.ndarray]) -> None:
    """Put arrays into a file, all at once: who reads it at the same time gets the old or the new, never a part.

    A file that already holds just this is left alone, as other processes may have it mapped.

    Args:
        file: its folder is made where it is missing.
        key: 32 bytes that identify what the arrays belong to.
        arrays: `ARRAYS` of them, of any shape; longer items first, so that all lie at multiples of their size.

    Raises:
        OSError: there is no room, or no right to write.
    """
    blocks = [np.ascontiguousarray(array).reshape(-1).view(np.uint8) for array in arrays]
    rest = key + struct.pack(f'<{ARRAYS}q', *(len(block) for block in blocks))
    digest = _digest(rest, *blocks)
    with suppress(OSError, ValueError):
        if read(file, key)[0] == digest:
            return
    os.makedirs(os.path.dirname(file), exist_ok=True)
    with atomic_write(file, mark=f'.{os.getpid()}.{secrets.token_hex(4)}') as opened:
        for part in (MAGIC, digest, rest, *blocks):
            opened.write(part)


def read(file: str, key: bytes) -> tuple[bytes, list[np.ndarray]]:
    """Map a file and verify every byte; return its digest and its arrays as bytes (uint8).

    Raises:
        OSError: there is no such file, or no right to read it.
        ValueError: the file is not one of ours, belongs to something else, or is corrupt.
    """
    digest, found, mapped, arrays = _map(file)
    if found != key:
        raise ValueError('it belongs to another folder')
    if digest != _digest(memoryview(mapped)[DIGESTED_FROM:]):
        raise ValueError('it is damaged')
    return digest, arrays


def read_again(file: str, digest: bytes) -> list[np.ndarray]:
    """Map a file that was verified before, usually by another process.

    Raises:
        OSError: the file is gone.
        ValueError: the file has been replaced.
    """
    found, _, _, arrays = _map(file)
    if found != digest:
        raise ValueError(f'{file} was replaced while a process that uses it was starting; start again')
    return arrays


def holds(file: str, digest: bytes) -> bool:
    """Return whether a file that was verified before is still the same, by its header and size."""
    try:
        return _map(file)[0] == digest
    except (OSError, ValueError):
        return False


def _map(file: str) -> tuple[bytes, bytes, mmap.mmap, list[np.ndarray]]:
    """Map a file; return its digest, key, all of its bytes, and its arrays."""
    with open(file, 'rb') as opened:
        if os.fstat(opened.fileno()).st_size < HEADER.size:
            raise ValueError('it is cut short')
        mapped = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
    magic, digest, key, *sizes = HEADER.unpack_from(mapped)
    if magic != MAGIC:
        raise ValueError('it is something else')
    if min(sizes) < 0 or HEADER.size + sum(sizes) != len(mapped):
        raise ValueError('it is cut short or has grown')
    ends = HEADER.size + np.cumsum(sizes)
    whole = np.frombuffer(mapped, np.uint8)
    return digest, key, mapped, [whole[end - size : end] for size, end in zip(sizes, ends, strict=True)]


def _digest(*parts: bytes | memoryview | np.ndarray) -> bytes:
    """Digest bytes, 32 of them."""
    digest = hashlib.blake2b(digest_size=32)
    for part in parts:
        digest.update(part)
    return digest.digest()
