"""The outlines of the ten classes, of area 1 around the origin."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

CLASSES = ('arrow', 'circle', 'crescent', 'cross', 'heart', 'pentagon', 'ring', 'square', 'star', 'triangle')


@dataclass(frozen=True, eq=False)
class Thing:
    """One object: its class and its outline in the image."""

    name: str
    contours: list[np.ndarray]


def _arc(start: float, stop: float, radius: float = 1.0, center: float = 0.0, points: int = 48) -> np.ndarray:
    """Sample an arc around (center, 0), angles in radians, ends included: (points, 2)."""
    angle = np.linspace(start, stop, points)
    return np.stack([center + radius * np.cos(angle), radius * np.sin(angle)], 1)


def _regular(corners: int, radii: tuple[float, ...] = (1.0,)) -> np.ndarray:
    """Put corners evenly round the origin, their distances taken from `radii` in turn: (corners, 2)."""
    angle = np.arange(corners) * 2 * math.pi / corners - math.pi / 2
    return np.resize(radii, corners)[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)


def _crescent(radius: float = 0.86, shift: float = 0.48) -> np.ndarray:
    """Cut a circle of the given radius, shifted to the right, out of the unit circle."""
    x = (1 - radius**2 + shift**2) / (2 * shift)
    outer, inner = math.acos(x), math.atan2(math.sqrt(1 - x**2), x - shift)
    return np.concatenate([_arc(outer, 2 * math.pi - outer), _arc(2 * math.pi - inner, inner, radius, shift)])


def _heart() -> np.ndarray:
    """Sample the well-known heart curve, tip down: (64, 2)."""
    t = np.linspace(0, 2 * math.pi, 64, endpoint=False)
    y = -13 * np.cos(t) + 5 * np.cos(2 * t) + 2 * np.cos(3 * t) + np.cos(4 * t)
    return np.stack([16 * np.sin(t) ** 3, y], 1)


def moments(contours: list[np.ndarray]) -> tuple[float, np.ndarray]:
    """Compute signed area and centroid of contours; a hole runs the other way round."""
    area, first = 0.0, np.zeros(2)
    for here in contours:
        ahead = np.roll(here, -1, 0)
        cross = here[:, 0] * ahead[:, 1] - ahead[:, 0] * here[:, 1]
        area += cross.sum() / 2
        first += ((here + ahead) * cross[:, None]).sum(0) / 6
    return area, first / area


def _standard(*contours: Iterable) -> list[np.ndarray]:
    """Move the centroid to the origin and scale to area 1, so that size and place are independent of the class."""
    contours = [np.asarray(contour, float) for contour in contours]
    area, center = moments(contours)
    return [(contour - center) / math.sqrt(abs(area)) for contour in contours]


CROSS = [(1, 3), (1, 1), (3, 1), (3, -1), (1, -1), (1, -3), (-1, -3), (-1, -1), (-3, -1), (-3, 1), (-1, 1), (-1, 3)]
ARROW = [(0, -6), (5, 0), (2, 0), (2, 6), (-2, 6), (-2, 0), (-5, 0)]
OUTLINES = {
    'arrow': _standard(ARROW),
    'circle': _standard(_regular(64)),
    'crescent': _standard(_crescent()),
    'cross': _standard(CROSS),
    'heart': _standard(_heart()),
    'pentagon': _standard(_regular(5)),
    'ring': _standard(_regular(64), _regular(64)[::-1] * 0.58),
    'square': _standard(_regular(4)),
    'star': _standard(_regular(10, (1.0, 0.42))),
    'triangle': _standard(_regular(3)),
}
