"""Images per second, and the share of the time spent waiting for them."""

from collections import deque
from collections.abc import Sized
from typing import Any


def count_images(batch: Any) -> int:
    """Count the images of a batch, a dict as mmengine's collate functions make it or a tuple; 0 of others."""
    if isinstance(batch, dict):
        samples = batch.get('data_samples')
        batch = (samples if samples is not None else batch.get('inputs', ()),)
    first = batch[0] if isinstance(batch, list | tuple) and batch else None
    return len(first) if isinstance(first, Sized) and getattr(first, 'ndim', 1) else 0


class Meter:
    """Sums over the last `window` iterations, each a triple (images, seconds waited for data, seconds in all)."""

    def __init__(self, window: int) -> None:
        self.laps: deque[tuple[int, float, float]] = deque(maxlen=window)

    def add(self, images: int, waited: float, seconds: float) -> None:
        """Count one iteration, the oldest of a full window drops out."""
        self.laps.append((images, waited, seconds))

    @property
    def seconds(self) -> float:
        """Time of all iterations in the window, never 0."""
        return max(sum(seconds for _, _, seconds in self.laps), 1e-9)

    @property
    def images_per_second(self) -> float:
        """Images per second, counting all between two batches: loading, training, logging, saving."""
        return sum(images for images, _, _ in self.laps) / self.seconds

    @property
    def data_wait(self) -> float:
        """Share of the time, 0 to 1, in which training waited for data."""
        return sum(waited for _, waited, _ in self.laps) / self.seconds
