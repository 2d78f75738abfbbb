"""Similarity of features: nearest neighbors of images, matches between patches.

Letters: B images, C channels, h x w patches, N features of a set.
"""

import math
from typing import NamedTuple

import numpy as np

Place = tuple[int, int]
"""Row and column of a patch."""


def unit(features: np.ndarray, center: np.ndarray | None = None) -> np.ndarray:
    """Bring features (..., C) to length 1, less `center` (C,) if it is given; zeros stay zeros."""
    moved = features.astype(np.float64) - (0 if center is None else center)
    return moved / np.maximum(np.linalg.norm(moved, axis=-1, keepdims=True), 1e-12)


def nearest(asked: np.ndarray, known: np.ndarray, k: int, barred: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find the k most similar of `known` (N, C) for each of `asked` (B, C), both of length 1.

    Args:
        asked: What neighbors are looked for of.
        known: Where.
        k: How many; fewer if there are not so many.
        barred: Which pairs cannot be neighbors, bool (B, N).

    Returns:
        Their numbers and their cosines, falling, (B, k) each; where fewer than k are left, cosines are -inf.
    """
    similarity = np.where(barred, -np.inf, asked @ known.T)
    order = np.argsort(-similarity, axis=1, kind='stable')[:, :k]
    return order, np.take_along_axis(similarity, order, axis=1)


class Match(NamedTuple):
    """A patch and the one of another image that is most like it."""

    place: Place
    best: Place
    similarity: float
    mutual: bool
    """Whether the other's most similar patch is this one in turn."""


def best_match(place: Place, first: np.ndarray, second: np.ndarray) -> Match:
    """Find for a patch of `first` the best match in `second`: two images' features (h, w, C), of length 1."""
    similarity = second @ first[place]
    best = np.unravel_index(similarity.argmax(), similarity.shape)
    back = np.unravel_index((first @ second[best]).argmax(), first.shape[:2])
    return Match(place, (int(best[0]), int(best[1])), float(similarity[best]), back == place)


def clear_matches(first: np.ndarray, second: np.ndarray, wanted: int) -> list[Match]:
    """Find patches of `first` with clear matches in `second` that lie apart, the clearest first.

    Mutual matches come before others, and similar ones before less similar; patches nearer than a share of the image
    to one already taken are passed over, until there is no other.

    Args:
        first: Features (h, w, C), of length 1.
        second: The other image's.
        wanted: How many; fewer if there are fewer patches.
    """
    places = [(row, column) for row in range(first.shape[0]) for column in range(first.shape[1])]
    matches = [best_match(place, first, second) for place in places]
    left = sorted(matches, key=lambda match: (not match.mutual, -match.similarity))
    apart = max(first.shape[:2]) / (1 + wanted**0.5)
    taken: list[Match] = []
    while left and len(taken) < wanted:
        free = [match for match in left if all(math.dist(match.place, other.place) >= apart for other in taken)]
        if not free:
            apart /= 2
            continue
        taken.append(free[0])
        left.remove(free[0])
    return taken
