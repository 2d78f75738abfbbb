"""Procedural materials: a function of the plane for each, which returns the tone of its surface, from 0 to 1.

All of them take noise and the coordinates u and v of pixels, float32 (H, W); a feature is about one unit large.
"""

import math
from collections.abc import Callable

import numpy as np

from materials.noise import Noise

Field = np.ndarray


def _above(x: Field, threshold: float, width: float = 0.08) -> Field:
    """Return 0 below a threshold and 1 above it, with a soft edge."""
    return np.clip((x - threshold) / width + 0.5, 0, 1)


def _wave(x: Field) -> Field:
    """Return a wave of period 1, from 0 to 1."""
    return 0.5 + 0.5 * np.sin(2 * math.pi * x)


def brick(noise: Noise, u: Field, v: Field) -> Field:
    """Return bricks in running bond, each with its own tone, with mortar in between."""
    row = np.floor(v * 1.2)
    x, y = u * 0.6 + 0.5 * (row % 2), v * 1.2 - row
    column = np.floor(x)
    edge = np.minimum(np.minimum(x - column, column + 1 - x) * 2, np.minimum(y, 1 - y))
    return _above(edge, 0.1) * (0.65 + 0.35 * noise.at(column, row))


def bubbles(noise: Noise, u: Field, v: Field) -> Field:
    """Return balls of many sizes on a flat background."""
    distance, _, value = noise.cells(u * 0.9, v * 0.9, regular=0.2)
    radius = 0.25 + 0.25 * value
    return 0.9 * np.where(distance < radius, 1 - 0.8 * (distance / radius) ** 2, 0.1)


def corrugation(noise: Noise, u: Field, v: Field) -> Field:
    """Return straight waves."""
    return _wave(u * 1.3)


def cracks(noise: Noise, u: Field, v: Field) -> Field:
    """Return crooked cracks in a rough surface."""
    bend = 0.35 * noise.smooth(u * 2, v * 2)
    first, second, _ = noise.cells(u * 0.8 + bend, v * 0.8 + bend)
    return _above(second - first, 0.07) * (0.8 + 0.2 * noise.fractal(u * 2, v * 2))


def fur(noise: Noise, u: Field, v: Field) -> Field:
    """Return bent hairs side by side."""
    bend = 3.6 * noise.smooth(u * 0.3, v * 0.3)
    return np.clip(1.3 * noise.fractal(u * 0.5, v * 5 + bend, octaves=3) - 0.15, 0, 1)


def granite(noise: Noise, u: Field, v: Field) -> Field:
    """Return small grains, each with its own tone."""
    *_, value = noise.cells(u * 5, v * 5)
    return 0.15 + 0.7 * value * (0.7 + 0.3 * noise.smooth(u * 3, v * 3))


def herringbone(noise: Noise, u: Field, v: Field) -> Field:
    """Return columns of slanted stripes that lean alternately to the left and to the right."""
    column = np.floor(u)
    x = u - column
    slant = np.where(column % 2 == 0, x, 1 - x)
    return _above(np.minimum(x, 1 - x), 0.05) * _wave(v * 2 + slant * 1.6)


def honeycomb(noise: Noise, u: Field, v: Field) -> Field:
    """Return hexagons of one tone with thin walls."""
    walls = np.ones_like(u)
    for shift in (0, 0.5):
        x, y = u + shift, v / math.sqrt(3) + shift
        x, y = np.abs(x - np.floor(x) - 0.5), np.abs(y - np.floor(y) - 0.5) * math.sqrt(3)
        walls = np.minimum(walls, np.maximum(x, x * 0.5 + y * 0.866))
    return _above(-walls, -0.43, 0.1)


def marble(noise: Noise, u: Field, v: Field) -> Field:
    """Return veins in clouds."""
    return _above(np.sqrt(np.abs(noise.fractal(u * 0.6, v * 0.6) - 0.5) * 2), 0.3, 0.5)


def pebbles(noise: Noise, u: Field, v: Field) -> Field:
    """Return round stones, each with its own tone."""
    first, second, value = noise.cells(u * 1.1, v * 1.1, regular=0.3)
    return _above(second - first, 0.12, 0.15) * np.sqrt(np.clip(1 - first**2, 0, 1)) * (0.45 + 0.55 * value)


def scales(noise: Noise, u: Field, v: Field) -> Field:
    """Return rows of round scales, each overlapping the next."""
    tone, done = np.zeros_like(u), np.zeros(u.shape, bool)
    for below in range(3):
        row = np.floor(v * 1.6) - below
        x = u + 0.5 * (row % 2)
        x, y = x - np.floor(x) - 0.5, v * 1.6 - row
        radius = np.hypot(x, np.maximum(y - 0.9, 0) * 0.6) / 0.52
        inside = (radius < 1) & ~done
        tone, done = np.where(inside, 1 - 0.75 * radius**3 - 0.1 * y, tone), done | inside
    return np.clip(tone, 0, 1)


def terrazzo(noise: Noise, u: Field, v: Field) -> Field:
    """Return chips of stone, scattered on a fine-grained background."""
    first, second, value = noise.cells(u * 1.3, v * 1.3)
    chips = np.where(value > 0.45, _above(second - first, 0.22) * (0.3 + 0.55 * value), 0)
    return 0.15 + chips + 0.1 * noise.smooth(u * 8, v * 8)


def weave(noise: Noise, u: Field, v: Field) -> Field:
    """Return threads that go over and under each other."""
    column, row = np.floor(u), np.floor(v)
    over = (column + row) % 2 == 0
    across, along = np.where(over, u - column, v - row), np.where(over, v - row, u - column)
    return np.clip(np.sin(math.pi * across), 0, 1) ** 0.7 * (0.55 + 0.45 * np.sin(math.pi * along))


def wood(noise: Noise, u: Field, v: Field) -> Field:
    """Return bent rings with a fine grain."""
    rings = _wave(v * 1.2 + 1.6 * noise.smooth(u * 0.25, v * 0.5))
    return rings * (0.6 + 0.4 * noise.smooth(u, v * 9))


SURFACES: dict[str, Callable[[Noise, Field, Field], Field]] = {
    surface.__name__: surface
    for surface in (
        *(brick, bubbles, corrugation, cracks, fur, granite, herringbone),
        *(honeycomb, marble, pebbles, scales, terrazzo, weave, wood),
    )
}
"""The materials by name, in alphabetical order, which is that of their labels."""
CLASSES = tuple(SURFACES)
