"""Classifiers of pixels on frozen patch features, in closed form or by nearest neighbors.

A classifier is fitted to patches and their pixel counts of each class (`label_counts`), image by image. It then scores
patches, and the scores are interpolated to pixels (`classify_pixels`). For ridge regression, which is linear like
interpolation, this is the same as classifying interpolated features.

Letters: N = h x w patches, D features, K classes, H x W pixels, M patches in the bank.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from mixmae_mm.evaluation.functional.confusion import labeled
from mixmae_mm.evaluation.functional.knn import check_neighbors, nearest
from mixmae_mm.evaluation.functional.ridge_sums import Linear, RidgeSums, fit_best
from mixmae_mm.structures import Size

HELD_OUT = 4  # every fourth training image, and the second one, so that two suffice


class RidgeProbe:
    """Linear classifier of patches: ridge regression, with its strength chosen on a quarter of the training images.

    `strength` is the chosen one, once `score` has been called.
    """

    def __init__(self, num_classes: int) -> None:
        self.num_classes, self.images = num_classes, 0
        self.parts: list[RidgeSums] = []
        self.fit: Linear | None = None
        self.strength: float | None = None

    def add(self, features: Tensor, counts: Tensor) -> None:
        """Learn from an image: features (N, D) and pixel counts of each class (N, K)."""
        if not counts.any():  # without labels it would take the turn of an image that is held out
            return
        if not self.parts:
            self.parts = [RidgeSums(features.shape[1], self.num_classes, features.device) for _ in range(2)]
        self.images += 1
        self.parts[self.images % HELD_OUT == 0 or self.images == 2].add(features, counts)
        self.fit = None

    def score(self, features: Tensor) -> Tensor:
        """Compute scores of patches: (N, D) -> (N, K)."""
        if self.fit is None:
            if not self.parts:
                raise ValueError('there is no training image to learn from')
            self.fit, self.strength = fit_best(*self.parts)
        return self.fit(features)


class NeighborProbe:
    """k-NN classifier of patches by cosine similarity: the nearest training patches vote by their shares of classes.

    Args:
        num_classes: Number of classes, K.
        k: Number of neighbors that vote.
        temperature: Temperature of their votes, as in `knn_accuracy`.
        bank_size: Maximum number of patches kept, drawn at random from all that have a label.
        seed: Seed of this draw.
    """

    def __init__(
        self, num_classes: int, k: int = 20, temperature: float = 0.07, bank_size: int = 2**15, seed: int = 0
    ) -> None:
        self.num_classes, self.k, self.temperature, self.bank_size = num_classes, k, temperature, bank_size
        self.generator = torch.Generator().manual_seed(seed)
        self.bank: list[Tensor] = []

    def add(self, features: Tensor, counts: Tensor) -> None:
        """Learn from an image: features (N, D) and pixel counts of each class (N, K)."""
        labeled = counts.sum(dim=1) > 0
        counts = counts[labeled].to(features)
        keys = torch.rand(len(counts), generator=self.generator, dtype=torch.float64).to(labeled.device)
        new = F.normalize(features[labeled], dim=1), counts / counts.sum(dim=1, keepdim=True), keys
        bank = [torch.cat(pair) for pair in zip(self.bank, new, strict=True)] if self.bank else list(new)
        if len(bank[-1]) > self.bank_size:  # the highest keys are a uniform sample of all so far
            kept = bank[-1].topk(self.bank_size).indices
            bank = [one[kept] for one in bank]
        self.bank = bank

    def score(self, features: Tensor) -> Tensor:
        """Compute each class's share of the votes for patches: (N, D) -> (N, K)."""
        if not self.bank:
            raise ValueError('there is no training image to learn from')
        known, shares, _ = self.bank
        check_neighbors(self.k, self.temperature, len(known), 'patches')
        chunks = F.normalize(features, dim=1).split(1024)
        return torch.cat([self._vote(chunk @ known.T, shares) for chunk in chunks])

    def _vote(self, similarity: Tensor, shares: Tensor) -> Tensor:
        """Average the nearest patches' shares by weight: similarities (N, M) and shares (M, K) -> (N, K), of sum 1."""
        weights, which = nearest(similarity, self.k, self.temperature)
        return ((weights / weights.sum(dim=1, keepdim=True))[:, None] @ shares[which])[:, 0]


def label_counts(labels: Tensor, grid: Size, num_classes: int, ignore_index: int) -> Tensor:
    """Count the pixels of each class in each patch of a grid (h, w): labels (H, W) -> (N, K).

    Raise `ValueError` if patches do not consist of whole pixels, or for labels of no class.
    """
    _check_grid(tuple(labels.shape), grid)
    sides = zip(labels.shape, grid, strict=True)
    rows, columns = (torch.arange(size, device=labels.device) * patches // size for size, patches in sides)
    cells = rows[:, None] * grid[1] + columns
    kept, known = labeled(labels, num_classes, ignore_index)
    found = torch.bincount(cells[kept] * num_classes + known, minlength=grid[0] * grid[1] * num_classes)
    return found.view(-1, num_classes)


def classify_pixels(scores: Tensor, grid: Size, size: Size) -> Tensor:
    """Classify pixels by bilinearly interpolated scores of patches: (N, K) on a grid (h, w) -> (H, W)."""
    _check_grid(size, grid)
    maps = scores.T.unflatten(1, grid)[None]
    return F.interpolate(maps, size=size, mode='bilinear', align_corners=False)[0].argmax(dim=0)


def concatenate_maps(maps: Sequence[Tensor]) -> Tensor:
    """Concatenate an image's maps from several depths, (D, h, w) each, resized to the finest: (sum of D, h, w)."""
    size = max(tuple(one.shape[1:]) for one in maps)
    resized = (F.interpolate(one[None], size=size, mode='bilinear', align_corners=False)[0] for one in maps)
    return torch.cat(list(resized)) if len(maps) > 1 else maps[0]


def _check_grid(size: Size, grid: Size) -> None:
    """Check that patches consist of whole pixels: an encoder that pads images would shift them."""
    if any(pixels % patches for pixels, patches in zip(size, grid, strict=True)):
        raise ValueError(
            f'{size[0]} x {size[1]} pixels cannot be split into {grid[0]} x {grid[1]} equal patches: use an image '
            'size whose sides are multiples of the stride'
        )
