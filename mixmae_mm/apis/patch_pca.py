"""Principal components of patch features, and how they become colors.

Letters: B images, h x w patches, C channels, D components.
"""

from typing import NamedTuple

import numpy as np


class Components(NamedTuple):
    """Principal components of patches."""

    scores: np.ndarray
    """(B, h, w, D), float64."""
    shares: np.ndarray
    """Share of the variance of each component, descending: (D,)."""


def principal_components(features: np.ndarray, number: int = 3, among: np.ndarray | None = None) -> Components:
    """Find the principal components of the patches of all images together: (B, h, w, C).

    Signs are free: each component has the one with which its largest loading is positive, so that colors repeat.

    Args:
        features: Of patches.
        number: Of components, D.
        among: The patches that count, bool (B, h, w); the others get scores along the same components. None for all.

    Raises:
        ValueError: fewer channels, or fewer patches than are needed for so many components.
    """
    flat = features.astype(np.float64).reshape(-1, features.shape[-1])
    counted = flat if among is None else flat[among.ravel()]
    if number > flat.shape[1] or number >= len(counted):
        raise ValueError(
            f'{number} components of {len(counted)} patches with {flat.shape[1]} channels: more patches are needed '
            'than components, and as many channels; take more images, or move the threshold'
        )
    mean = counted.mean(0)
    variances, loadings = np.linalg.eigh(np.cov(counted, rowvar=False, bias=True).reshape(flat.shape[1], -1))
    loadings = loadings[:, ::-1][:, :number]
    loadings = loadings * np.sign(np.take_along_axis(loadings, np.abs(loadings).argmax(0)[None], axis=0))
    shares = variances[::-1][:number].clip(0) / max(variances.clip(0).sum(), 1e-12)
    return Components(((flat - mean) @ loadings).reshape(*features.shape[:-1], number), shares)


def scale_robustly(scores: np.ndarray, among: np.ndarray | None = None, cut: float = 2.0) -> np.ndarray:
    """Bring each component to 0 to 1, whatever a few patches far out are: (B, h, w, D) -> same.

    Args:
        scores: Of patches.
        among: The patches that count, bool (B, h, w); None for all.
        cut: Percent of them at either end that become 0 and 1.
    """
    counted = scores.reshape(-1, scores.shape[-1]) if among is None else scores[among]
    low, high = np.percentile(counted, [cut, 100 - cut], axis=0)
    return ((scores - low) / np.maximum(high - low, 1e-12)).clip(0, 1)
