"""Linear classifier on features, in closed form: no learning rate, no seed, the same result every time.

Ridge regression on one-hot labels, with its strength chosen by leave-one-out cross-validation on the training images,
which costs almost nothing for ridge regression (PRESS, Allen 1974).
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from mixmae_mm.evaluation.functional.finite import finite

STRENGTHS = tuple(10.0**power for power in range(-4, 3))  # relative to the mean square of a standardized feature


def probe_accuracy(
    train_features: Tensor, train_labels: Tensor, val_features: Tensor, val_labels: Tensor, num_classes: int
) -> float:
    """Return the accuracy of a linear classifier on the validation images: features (N, D), labels (N,)."""
    train, val = standardize(*(finite(features).double() for features in (train_features, val_features)))
    targets = F.one_hot(train_labels, num_classes).to(train)
    center = targets.mean(dim=0)
    weights = ridge(train, targets - center)
    return float(((val @ weights + center).argmax(dim=1) == val_labels).double().mean())


def standardize(train: Tensor, val: Tensor) -> tuple[Tensor, Tensor]:
    """Standardize features (T, D) and (V, D) by mean and standard deviation of the former; constant ones become 0."""
    mean, std = train.mean(dim=0), train.std(dim=0, correction=0)
    scale = torch.where(std > 1e-8 * std.max(), 1 / std, 0)
    return (train - mean) * scale, (val - mean) * scale


def whiten(train: Tensor, val: Tensor, components: int) -> tuple[Tensor, Tensor]:
    """Whiten features (T, D) and (V, D) by the first principal components of the former: (T, P) and (V, P).

    Otherwise, a few directions of high variance, such as brightness and color, decide which features are neighbors.
    """
    train, val, count = finite(train), finite(val), min(components, *train.shape)
    center = train.mean(dim=0)
    _, values, right = torch.linalg.svd((train - center).double(), full_matrices=False)
    kept = values[:count] > 1e-5 * values[0]  # the others are rounding errors
    turn = (right[:count][kept].T * len(train) ** 0.5 / values[:count][kept]).to(train)
    return (train - center) @ turn, (val - center) @ turn


def ridge(features: Tensor, targets: Tensor) -> Tensor:
    """Solve ridge regression of centered targets (T, C) on centered features (T, D), with the best strength: (D, C)."""
    left, values, right = torch.linalg.svd(features, full_matrices=False)
    turned = left.T @ targets
    shrunk = [values.square() / (values.square() + strength * len(features)) for strength in STRENGTHS]
    kept = min(shrunk, key=lambda kept: _left_out_error(left, kept, targets))
    return right.T @ (torch.where(values > 0, kept / values, 0)[:, None] * turned)


def _left_out_error(left: Tensor, kept: Tensor, targets: Tensor) -> float:
    """Compute the leave-one-out mean squared error; an image is left out of the mean of the targets, too.

    It follows from the fit to all images: the error on an image, divided by 1 - its leverage (weight in its own fit).
    """
    fit = left @ (kept[:, None] * (left.T @ targets))
    own = (left.square() * kept).sum(dim=1) + 1 / len(targets)
    return float(((targets - fit) / (1 - own).clamp(min=1e-9)[:, None]).square().mean())
