"""k-NN classification: an evaluation of features without training."""

from torch import Tensor, zeros
from torch.nn import functional as F

from mixmae_mm.evaluation.functional.finite import finite


def knn_accuracy(
    train_features: Tensor,
    train_labels: Tensor,
    val_features: Tensor,
    val_labels: Tensor,
    k: int,
    temperature: float,
    num_classes: int,
) -> float:
    """Return the k-NN accuracy on the validation images: features (N, D), labels (N,) below `num_classes`.

    The protocol of Wu et al. 2018 (arXiv 1805.01978): the k nearest neighbors by cosine similarity vote, each with the
    weight exp(similarity / temperature).
    """
    check_neighbors(k, temperature, len(train_features), 'images')
    train, val = (F.normalize(finite(features), dim=1) for features in (train_features, val_features))
    chunks = zip(val.split(1024), val_labels.split(1024), strict=True)
    right = sum((_vote(x @ train.T, train_labels, k, temperature, num_classes) == y).sum() for x, y in chunks)
    return float(right) / len(val_labels)


def check_neighbors(k: int, temperature: float, count: int, what: str) -> None:
    """Check k and temperature for a vote among `count` training images or patches, as `what` calls them."""
    if not 1 <= k <= count:
        raise ValueError(f'k must be from 1 to the {count} training {what}, got {k}')
    if temperature <= 0:
        raise ValueError(f'temperature {temperature}: it must be positive')


def nearest(similarity: Tensor, k: int, temperature: float) -> tuple[Tensor, Tensor]:
    """Return the weights and indices of the k nearest neighbors: similarities (V, T) -> two of (V, k)."""
    values, which = similarity.topk(k, dim=1)
    return ((values - values[:, :1]) / temperature).exp(), which  # relative to the nearest: the same vote, no overflow


def _vote(similarity: Tensor, labels: Tensor, k: int, temperature: float, num_classes: int) -> Tensor:
    """Classify by a vote of the k nearest neighbors: similarities (V, T) and labels (T,) -> classes (V,)."""
    weights, which = nearest(similarity, k, temperature)
    votes = zeros(len(similarity), num_classes, dtype=weights.dtype, device=weights.device)
    return votes.scatter_add_(1, labels[which], weights).argmax(1)
