"""The memory allocator, for models on CPUs."""

import ctypes
import os

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # numbers of mallopt's settings, from malloc.h
OWN_SETTINGS = 'MALLOC_TRIM_THRESHOLD_', 'MALLOC_MMAP_THRESHOLD_', 'MALLOC_MMAP_MAX_', 'GLIBC_TUNABLES'
LARGEST = 32 * 1024**2  # bytes, the maximum that glibc accepts for MMAP_THRESHOLD


def keep_freed_memory() -> bool:
    """Keep freed memory for the next step, and return whether that could be set (docs/performance.md).

    Do nothing without glibc, or if the environment already configures its allocator.
    """
    if os.name != 'posix' or any(name in os.environ for name in OWN_SETTINGS):
        return False
    mallopt = getattr(ctypes.CDLL(None), 'mallopt', None)
    return mallopt is not None and bool(mallopt(MMAP_THRESHOLD, LARGEST) and mallopt(TRIM_THRESHOLD, -1))
