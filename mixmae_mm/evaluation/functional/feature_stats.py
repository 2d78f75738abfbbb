"""Statistics of how many directions features (N images, D) use, without labels.

They reveal collapse long before the loss does.
"""

from torch import Tensor, linalg
from torch.nn import functional as F

from mixmae_mm.evaluation.functional.finite import finite

EPSILON = 1e-7  # as in the RankMe paper


def rank_me(features: Tensor) -> float:
    """Compute the effective rank of features (N, D), from 1 to min(N, D); it grows with N.

    RankMe of Garrido et al. 2023 (arXiv 2210.02885): exp of the entropy of the singular values, normalized to sum 1.
    """
    values = linalg.svdvals(finite(features).double())
    if not values.sum() > 0:
        raise ValueError('all features are 0, and have no rank')
    shares = values / values.sum() + EPSILON
    return float((-shares * shares.log()).sum().exp())


def feature_std(features: Tensor) -> float:
    """Compute the standard deviation of L2-normalized features (N, D): 0 if all are equal, 1 if they are isotropic.

    It is taken over the images, averaged over the D features and scaled by sqrt(D) (as in SimSiam, arXiv 2011.10566).
    """
    directions = F.normalize(finite(features).double(), dim=1)
    return float(directions.std(dim=0, correction=0).mean() * features.shape[1] ** 0.5)


def mean_cosine(features: Tensor) -> float:
    """Compute the mean cosine similarity between the features (N, D) of two different images, over all pairs."""
    count = len(features)
    if count < 2:
        raise ValueError(f'{count} image(s) make no pair: two or more are needed')
    directions = F.normalize(finite(features).double(), dim=1)
    return float((directions.sum(dim=0).square().sum() - directions.square().sum()) / (count * (count - 1)))
