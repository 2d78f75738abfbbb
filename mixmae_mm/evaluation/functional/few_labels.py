"""Accuracy with few labels: some images of each class are drawn, several times.

Letters: N images, D features.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


class Few(NamedTuple):
    """Number of labels to use per class: a `share` of them, or a fixed `number` if it is given."""

    share: float = 1.0
    number: int | None = None

    @classmethod
    def parse(cls, text: str) -> 'Few':
        """Parse a share ('1%') or a number for each class ('5')."""
        try:
            few = cls(float(text[:-1]) / 100) if text.endswith('%') else cls(number=int(text))
        except ValueError:
            few = cls(share=0)
        if not 0 < few.share <= 1 or (few.number is not None and few.number < 1):
            raise ValueError(f"'{text}' is not an amount of labels: give a share such as 1%, or a number per class")
        return few

    def of(self, count: int) -> int:
        """Return how many labels to use of a class that has `count`, at least 1."""
        if self.number is not None and self.number > count:
            raise ValueError(f'{self.number} labels per class are requested, but one class has only {count}')
        return max(1, round(self.share * count)) if self.number is None else self.number


class MeanStd(NamedTuple):
    """Mean and standard deviation (with the divisor n - 1) over several draws."""

    mean: float
    std: float


def draw_few(labels: Tensor, few: Few, num_classes: int, seed: int) -> Tensor:
    """Draw some images of each class that occurs: labels (N,) -> sorted indices."""
    generator, drawn = torch.Generator().manual_seed(seed), []
    for label in range(num_classes):
        members = (labels.cpu() == label).nonzero()[:, 0]
        if len(members):
            order = torch.randperm(len(members), generator=generator)
            drawn.append(members[order[: few.of(len(members))]])
    return torch.cat(drawn).sort().values.to(labels.device)


def few_label_accuracy(
    accuracy: Callable[..., float],
    train_features: Tensor,
    train_labels: Tensor,
    val: tuple[Tensor, Tensor],
    few: Few,
    num_classes: int,
    draws: int,
    seed: int = 0,
) -> MeanStd:
    """Compute the accuracy with few of the training labels, over several draws.

    `accuracy` takes the features (N, D) and labels (N,) of training images, then those of validation images, `val`.
    """
    if draws < 2:
        raise ValueError(f'{draws} draw(s) have no standard deviation: two or more are needed')
    chosen = [draw_few(train_labels, few, num_classes, seed + draw) for draw in range(draws)]
    found = torch.tensor([accuracy(train_features[one], train_labels[one], *val) for one in chosen]).double()
    return MeanStd(float(found.mean()), float(found.std()))
