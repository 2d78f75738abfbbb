"""The time that a hook may take beside the training."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter


class TimeBudget:
    """Time in rounds, of which all together may take a share of the time since the start.

    The first round is always granted, since its time is unknown; each later one is taken to last as long as the
    one before it, without what had to be prepared once.

    Args:
        share: Of the time, from 0 to 1.
    """

    def __init__(self, share: float) -> None:
        self.share = share
        self.started = perf_counter()
        self.rounds, self.spent, self.last = 0, 0.0, 0.0

    @property
    def elapsed(self) -> float:
        """Seconds since the start, never 0."""
        return max(perf_counter() - self.started, 1e-9)

    def affords_another(self) -> bool:
        """Return whether one more round stays within the share."""
        return self.rounds == 0 or self.spent + self.last <= self.share * self.elapsed

    @contextmanager
    def preparing(self) -> Iterator[None]:
        """Count what is done inside as spent, but not as what a round takes."""
        begun = perf_counter()
        try:
            yield
        finally:
            self.spent += perf_counter() - begun

    @contextmanager
    def spending(self) -> Iterator[None]:
        """Count what is done inside as a round, also if it fails."""
        before = self.spent
        try:
            with self.preparing():
                yield
        finally:
            self.last = self.spent - before
            self.rounds += 1
