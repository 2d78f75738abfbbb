"""k-NN classification: an evaluation of features without training."""

from torch import Tensor, zeros
from torch.nn import functional as F


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

    The protocol of Wu et al. 2018 (arXiv 1805.01978): the k nearest by cosine similarity vote, each with the weight
    exp(similarity / temperature).
    """
    if not 1 <= k <= len(train_features):
        raise ValueError(f'{k} neighbors of {len(train_features)} training images: k is from 1 to that number')
    if temperature <= 0:
        raise ValueError(f'temperature {temperature}: it must be positive')
    train, val = F.normalize(train_features, dim=1), F.normalize(val_features, dim=1)
    chunks = zip(val.split(1024), val_labels.split(1024), strict=True)
    right = sum((_vote(x @ train.T, train_labels, k, temperature, num_classes) == y).sum() for x, y in chunks)
    return float(right) / len(val_labels)


def _vote(similarity: Tensor, labels: Tensor, k: int, temperature: float, num_classes: int) -> Tensor:
    """Let the k nearest vote: similarities (V, T) and labels (T,) -> classes (V,)."""
    nearest, which = similarity.topk(k, dim=1)
    weights = ((nearest - nearest[:, :1]) / temperature).exp()  # relative to the nearest: the same vote, no overflow
    votes = zeros(len(similarity), num_classes, dtype=weights.dtype, device=weights.device)
    return votes.scatter_add_(1, labels[which], weights).argmax(1)
