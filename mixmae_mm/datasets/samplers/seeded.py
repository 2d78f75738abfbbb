"""Samplers whose indices carry a seed: the augmentation of a sample depends only on the run's seed and its position.

Otherwise, loader workers are reseeded in the same way every epoch, and a resumed run cannot restore their state.
"""

import itertools
from collections.abc import Iterator

import numpy as np
import torch
from mmengine.dataset import DefaultSampler, InfiniteSampler
from torch import Tensor
from torch.utils.data import Dataset

from mixmae_mm.registry import DATA_SAMPLERS
from mixmae_mm.utils.seed import fold, seeded


class SeededIndex(int):
    """Index into a dataset with the seed of one visit; it survives pickling and arithmetic of dataset wrappers."""

    seed: int

    def __new__(cls, index: int, seed: int) -> 'SeededIndex':
        """Attach a seed to an index."""
        self = super().__new__(cls, index)
        self.seed = seed
        return self

    def __reduce__(self) -> tuple:
        """Pickle both numbers, because `int` would drop the seed."""
        return SeededIndex, (int(self), self.seed)

    def __add__(self, other: int) -> 'SeededIndex':
        """Shift the index."""
        return SeededIndex(int(self) + other, self.seed)

    def __sub__(self, other: int) -> 'SeededIndex':
        """Shift the index back, as a concatenated dataset does."""
        return SeededIndex(int(self) - other, self.seed)

    def __mod__(self, other: int) -> 'SeededIndex':
        """Wrap the index around, as a repeated dataset does."""
        return SeededIndex(int(self) % other, self.seed)


@DATA_SAMPLERS.register_module()
class SeededSampler(DefaultSampler):
    """mmengine's sampler for epochs, with seeds derived from the run's seed, the epoch and the index."""

    def __iter__(self) -> Iterator[SeededIndex]:
        """Yield this rank's indices of the epoch in mmengine's order, starting over until all ranks have as many."""
        order = _order(len(self.dataset), self.shuffle, torch.Generator().manual_seed(self.seed + self.epoch))
        places = np.arange(self.rank, self.total_size, self.world_size) % len(order)
        indices = map(int, order[places])  # one by one: a list of 14 million takes half a gigabyte
        return (SeededIndex(index, fold(self.seed, self.epoch, index)) for index in indices)


@DATA_SAMPLERS.register_module()
class SeededInfiniteSampler(InfiniteSampler):
    """mmengine's sampler for iterations, with seeds derived from the run's seed and the position across all ranks."""

    def _infinite_indices(self) -> Iterator[int]:
        """Yield the indices of all ranks, one epoch after another, without end."""
        generator = torch.Generator().manual_seed(self.seed)
        while True:
            yield from map(int, _order(self.size, self.shuffle, generator))

    def _indices_of_rank(self) -> Iterator[SeededIndex]:
        """Yield this rank's part of the stream, from the beginning."""
        return self._indices_after(0)

    def _indices_after(self, num_samples: int) -> Iterator[SeededIndex]:
        """Yield this rank's part of the stream, without its first `num_samples`."""
        start = self.rank + num_samples * self.world_size
        positions = itertools.count(start, self.world_size)
        indices = itertools.islice(self._infinite_indices(), start, None, self.world_size)
        stream = zip(positions, indices, strict=False)  # both are infinite
        return (SeededIndex(index, fold(self.seed, position)) for position, index in stream)

    def skip(self, num_samples: int) -> None:
        """Move to an absolute position in this rank's stream, for a resumed loop; nothing is loaded."""
        if num_samples < 0:
            raise ValueError(f'cannot skip {num_samples} samples: the number must not be negative')
        self.indices = self._indices_after(num_samples)


def _order(size: int, shuffle: bool, generator: torch.Generator) -> np.ndarray:
    """Return the indices of an epoch (N,), int64, as mmengine orders them."""
    return torch.randperm(size, generator=generator).numpy() if shuffle else np.arange(size)


def choose_images(dataset: Dataset, wanted: int, seed: int) -> Tensor:
    """Draw up to `wanted` images at random, cropped and flipped by the dataset's pipeline: (B, C, H, W).

    The same seed gives the same images; the global random states are restored.
    """
    if not hasattr(dataset, '__len__'):
        raise ValueError(f'{type(dataset).__name__} is a stream, so images cannot be chosen: name a folder')
    indices = np.random.default_rng(seed).permutation(len(dataset))[:wanted]
    visits = (SeededIndex(int(index), fold(seed, int(index))) for index in indices)
    with seeded(seed):
        return torch.stack([dataset[visit]['inputs'] for visit in visits])
