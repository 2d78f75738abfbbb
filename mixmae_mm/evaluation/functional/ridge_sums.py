"""Ridge regression on samples that do not fit into memory, such as pixels: only sums over them are kept.

Letters: N samples, D features, K classes.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from mixmae_mm.evaluation.functional.linear_probe import STRENGTHS


class Linear(NamedTuple):
    """Linear map from features to classes: `weights` (D, K) and `bias` (K,), in double precision."""

    weights: Tensor
    bias: Tensor

    def __call__(self, features: Tensor) -> Tensor:
        """Compute the scores of features (N, D): (N, K), in their precision."""
        return features @ self.weights.to(features) + self.bias.to(features)


class RidgeSums:
    """Sums over samples that ridge regression needs, in double precision: about D x (D + K) numbers.

    A sample is a patch with the number of its pixels in each class. Its features count once for each of these pixels,
    whose target is the one-hot vector of its class: this is the regression on all labeled pixels.
    """

    def __init__(self, num_features: int, num_classes: int, device: torch.device | str = 'cpu') -> None:
        width = 1 + num_features  # a constant feature of 1 comes first
        self.squares = torch.zeros(width, width, dtype=torch.float64, device=device)
        self.products = torch.zeros(width, num_classes, dtype=torch.float64, device=device)

    def add(self, features: Tensor, counts: Tensor) -> None:
        """Add samples: features (N, D) and pixel counts of each class (N, K)."""
        counts = counts.double()
        values = torch.cat([torch.ones_like(counts[:, :1]), features.double()], dim=1)
        self.squares += values.T @ (values * counts.sum(dim=1, keepdim=True))
        self.products += values.T @ counts

    def __add__(self, other: 'RidgeSums') -> 'RidgeSums':
        """Return the sums over the samples of both operands."""
        both = RidgeSums(len(self.squares) - 1, self.products.shape[1], self.squares.device)
        both.squares, both.products = self.squares + other.squares, self.products + other.products
        return both

    def fit(self, strengths: Sequence[float]) -> list[Linear]:
        """Solve ridge regression with each strength, on standardized features; constant features get weights of 0."""
        total, sums = self.squares[0, 0], self.squares[0, 1:]
        if not total > 0:
            raise ValueError('there are no labeled pixels to learn from')
        mean, center = sums / total, self.products[0] / total
        covariance = self.squares[1:, 1:] / total - mean[:, None] * mean
        variance = covariance.diagonal()  # of constant features, it is only rounding error
        varies = variance > torch.maximum(1e-12 * mean.square(), 1e-16 * variance.max())
        scale = torch.where(varies, variance.clamp(min=1e-300).rsqrt(), 0)
        values, vectors = torch.linalg.eigh(covariance * scale[:, None] * scale)
        turned = vectors.T @ (scale[:, None] * (self.products[1:] / total - mean[:, None] * center))
        shrunk = (vectors @ (turned / (values.clamp(min=0) + strength)[:, None]) for strength in strengths)
        weights = [scale[:, None] * one for one in shrunk]
        return [Linear(one, center - mean @ one) for one in weights]

    def error(self, fit: Linear) -> float:
        """Compute the mean squared error of a fit over the pixels of the samples, summed over classes."""
        weights = torch.cat([fit.bias[None], fit.weights])
        total = self.products[0].sum()  # the squared norm of a one-hot target is 1
        squared = total - 2 * (weights * self.products).sum() + (weights * (self.squares @ weights)).sum()
        return float(squared / total)


def fit_best(sums: RidgeSums, held_out: RidgeSums) -> tuple[Linear, float]:
    """Choose the strength that is best on held-out samples; return the fit to all samples with it, and the strength."""
    if not (sums.squares[0, 0] > 0 and held_out.squares[0, 0] > 0):
        raise ValueError('labeled pixels are needed in at least two images: some are held out')
    errors = [held_out.error(fit) for fit in sums.fit(STRENGTHS)]
    strength = STRENGTHS[errors.index(min(errors))]
    return (sums + held_out).fit([strength])[0], strength
