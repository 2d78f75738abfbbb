"""Which labels may stand in the masks of a data set, and what those that do tell."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mixmae_mm.engine.checks.report import Fault, Finding

IGNORED = 255

ONLY_IGNORED = Fault(
    'error',
    f'masks hold 0 and {IGNORED} alone, and {IGNORED} is left out of training',
    f'write 1 in place of {IGNORED}',
)
MOSTLY_IGNORED = Fault('warning', 'more than half of the pixels are left out of training', 'see whether this is meant')
TOO_LARGE = Fault('error', 'masks with labels above 255', 'mmseg reads 8 bits: number the classes from 0 on')


@dataclass(frozen=True)
class Labels:
    """The labels of a data set's masks."""

    classes: int = 0
    """How many classes there are; 0: not known."""
    zero_is_none: bool = False
    """Whether 0 is no class, and 1 the first: mmseg's `reduce_zero_label`."""
    ignored: int = IGNORED

    def of_classes(self) -> range:
        """Return the labels of classes."""
        return range(1, self.classes + 1) if self.zero_is_none else range(self.classes)

    def allows(self, label: int) -> bool:
        """Return whether a label may stand in a mask."""
        if not self.classes:
            return 0 <= label <= 255
        return label in self.of_classes() or label == self.ignored or (self.zero_is_none and label == 0)

    def fault(self) -> Fault:
        """Say which labels may stand in a mask."""
        if not self.classes:
            return TOO_LARGE
        first, last = self.of_classes()[0], self.of_classes()[-1]
        zero = ', 0 for none of them' if self.zero_is_none else ''
        return Fault(
            'error',
            f'masks with labels other than {first} to {last} for {self.classes} classes{zero}, and {self.ignored}',
            'correct the number of classes (--classes, or in the config), reduce_zero_label or the masks',
        )

    def findings(self, pixels: Counter[int]) -> Iterator[Finding]:
        """Tell what the labels of all masks together show; `pixels` counts them."""
        if not pixels:
            return
        if set(pixels) == {0, IGNORED} and self.ignored == IGNORED and not self.zero_is_none:
            yield ONLY_IGNORED, ''
        if self._ignored_share(pixels) > 0.5:
            yield MOSTLY_IGNORED, ''
        fault = Fault('warning', f'classes of {self.classes} that no pixel has', 'see whether this is meant')
        yield from ((fault, f'label {label}') for label in self.of_classes() if label not in pixels)

    def summary(self, pixels: Counter[int]) -> dict[str, int | str]:
        """Sum up for the table."""
        if not pixels:
            return dict(labels='not looked at')
        used = [label for label in pixels if label != self.ignored]
        span = f'{min(used)} to {max(used)}' if used else 'none'
        return dict(labels=span, labels_used=len(used), ignored=f'{self._ignored_share(pixels):.1%}')

    def _ignored_share(self, pixels: Counter[int]) -> float:
        """Tell how much of all masks is left out of training."""
        left_out = pixels[self.ignored] + (pixels[0] if self.zero_is_none else 0)
        return left_out / pixels.total()


def count_labels(mask: np.ndarray) -> Counter[int]:
    """Count the pixels of each label; for eight bits in a way that does not sort them."""
    if mask.dtype == np.uint8:
        counts = np.bincount(mask.ravel())
        return Counter({int(label): int(counts[label]) for label in counts.nonzero()[0]})
    labels, counts = np.unique(mask, return_counts=True)
    return Counter(dict(zip(map(int, labels), map(int, counts), strict=True)))
