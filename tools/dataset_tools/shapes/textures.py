"""Colors and textures, (size, size, 3) in [0, 1]."""

import math
from collections.abc import Iterable

import cv2
import numpy as np


def color(rng: np.random.Generator, avoid: Iterable[np.ndarray] = ()) -> np.ndarray:
    """Draw an RGB color in [0, 1], far from those to avoid where twelve tries allow it."""
    hsv = rng.uniform((0, 0.2, 0.25), (360, 1, 1), (1, 12, 3)).astype(np.float32)
    tries = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0]
    distance = np.min([np.linalg.norm(tries - other, axis=1) for other in avoid] or [np.ones(12)], 0)
    return tries[np.argmax(np.minimum(distance, 0.55))]


def _noise(rng: np.random.Generator, size: int, cells: int) -> np.ndarray:
    """Draw smooth noise with about `cells` bumps a side, in [0, 1]: (size, size)."""
    grid = rng.random((cells + 3, cells + 3), np.float32)
    step = size / cells
    pixels = cv2.resize(grid, None, fx=step, fy=step, interpolation=cv2.INTER_CUBIC)
    start = int(step)
    return np.clip(pixels[start : start + size, start : start + size], 0, 1)


def _sharp(wave: np.ndarray, cycles: float) -> np.ndarray:
    """Turn a wave into two flat tones with an edge of about one pixel."""
    return np.clip(0.5 + wave * len(wave) / (2 * math.pi * cycles), 0, 1)


def _field(rng: np.random.Generator, size: int, kind: str) -> np.ndarray:
    """Draw a pattern of the given kind, in [0, 1]: (size, size)."""
    y, x = (np.mgrid[:size, :size].astype(np.float32) + 0.5) / size - 0.5
    angle, cycles, (shift_x, shift_y) = rng.uniform(0, 2 * math.pi), rng.uniform(2, 7), rng.uniform(-0.5, 0.5, 2)
    along = math.cos(angle) * x + math.sin(angle) * y + shift_x
    across = math.cos(angle) * y - math.sin(angle) * x + shift_y
    turn, side = 2 * math.pi * cycles * along, 2 * math.pi * cycles * across
    if kind == 'noise':
        return _noise(rng, size, int(rng.integers(2, 13)))
    if kind == 'blobs':
        return np.clip(0.5 + 8 * (_noise(rng, size, int(rng.integers(3, 9))) - 0.5), 0, 1)
    if kind == 'ripples':
        return 0.5 + 0.5 * np.sin(2 * math.pi * cycles * np.hypot(x + shift_x, y + shift_y))
    return {
        'gradient': lambda: np.clip(0.5 + along - shift_x, 0, 1),
        'stripes': lambda: _sharp(np.sin(turn), cycles),
        'waves': lambda: 0.5 + 0.5 * np.sin(turn + 0.8 * np.sin(side)),
        'checker': lambda: _sharp(np.sin(turn) * np.sin(side), cycles),
        'dots': lambda: _sharp(np.cos(turn) * np.cos(side) - 0.5, cycles),
    }[kind]()


KINDS = ('noise', 'blobs', 'ripples', 'gradient', 'stripes', 'waves', 'checker', 'dots')


def texture(rng: np.random.Generator, size: int, one: np.ndarray, other: np.ndarray, kind: str) -> np.ndarray:
    """Draw a pattern between two colors: (size, size, 3) in [0, 1]."""
    share = _field(rng, size, kind)[..., None]
    return (one + share * (other - one)).astype(np.float32)


def background(rng: np.random.Generator, size: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """Draw a background of two colors with a slow change of light over it, and return the colors."""
    one = color(rng)
    other = one + rng.uniform(0.15, 0.6) * (color(rng, [one]) - one)
    light = 0.8 + 0.35 * _noise(rng, size, 2)[..., None]
    return texture(rng, size, one, other, str(rng.choice(KINDS))) * light, [one, other]
