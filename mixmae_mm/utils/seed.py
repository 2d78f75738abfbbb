"""Randomness as a pure function of one seed and a position (rank and iteration; epoch and index).

A resumed run, or one with a different number of loader workers, then draws exactly what an uninterrupted one draws.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def fold(seed: int, *position: int) -> int:
    """Mix a seed with a position into a new seed in [0, 2**63), unrelated for neighboring positions."""
    if min((seed, *position)) < 0:
        raise ValueError(f'seed and position must not be negative, got {(seed, *position)}')
    return int(np.random.SeedSequence((seed, *position)).generate_state(1, np.uint64)[0] >> np.uint64(1))


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and torch (every device) with one number."""
    seed_cpu(seed)
    torch.manual_seed(seed)


def seed_cpu(seed: int) -> None:
    """Seed Python, NumPy and torch on the CPU, which is all that a sample needs."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.default_generator.manual_seed(seed)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed everything in this context, and restore the random states afterwards."""
    with kept_randomness():
        seed_everything(seed)
        yield


@contextmanager
def kept_randomness() -> Iterator[None]:
    """Restore the random states of Python, NumPy and torch (every device) after this context."""
    ours, numpys = random.getstate(), np.random.get_state()
    gpus = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    try:
        with torch.random.fork_rng(gpus):
            yield
    finally:
        random.setstate(ours)
        np.random.set_state(numpys)
