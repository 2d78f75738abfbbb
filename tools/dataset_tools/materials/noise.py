"""Smooth and cellular noise in the plane. All fields are float32 (H, W); u and v are the coordinates of pixels."""

import numpy as np

PERIOD = 64  # units after which noise repeats


class Noise:
    """Noise drawn from a generator: its value at a point does not depend on which pixels are evaluated."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.values = rng.random((PERIOD, PERIOD), np.float32)
        self.points = rng.random((2, PERIOD, PERIOD), np.float32)

    def at(self, column: np.ndarray, row: np.ndarray) -> np.ndarray:
        """Return a value in [0, 1] for each unit square of the plane, given its integer coordinates."""
        return self.values[row.astype(np.int32) % PERIOD, column.astype(np.int32) % PERIOD]

    def smooth(self, u: np.ndarray, v: np.ndarray) -> np.ndarray:
        """Return smooth noise in [0, 1] with one bump per unit."""
        left, top = np.floor(u), np.floor(v)
        x, y = u - left, v - top
        x, y = x * x * (3 - 2 * x), y * y * (3 - 2 * y)
        upper, lower = ((1 - x) * self.at(left, row) + x * self.at(left + 1, row) for row in (top, top + 1))
        return upper + y * (lower - upper)

    def fractal(self, u: np.ndarray, v: np.ndarray, octaves: int = 4) -> np.ndarray:
        """Return the mean of increasingly fine noise, in [0, 1]; each octave has half the weight of the one before."""
        total = sum(self.smooth(u * 2**k + 17 * k, v * 2**k + 31 * k) / 2**k for k in range(octaves))
        return total / (2 - 2 ** (1 - octaves))

    def cells(self, u: np.ndarray, v: np.ndarray, regular: float = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the distances to the two nearest of random points, one per unit square, and the value of the nearest.

        The closer `regular` is to 1, the closer the points are to the middle of their squares.
        """
        left, top = np.floor(u), np.floor(v)
        first, second, value = np.full_like(u, 9), np.full_like(u, 9), np.zeros_like(u)
        for row in (top - 1, top, top + 1):
            for column in (left - 1, left, left + 1):
                place = row.astype(np.int32) % PERIOD, column.astype(np.int32) % PERIOD
                x, y = (axis[place] * (1 - regular) + 0.5 * regular for axis in self.points)
                distance = np.hypot(column + x - u, row + y - v)
                closer = distance < first
                second = np.where(closer, first, np.minimum(second, distance))
                first, value = np.where(closer, distance, first), np.where(closer, self.values[place], value)
        return first, second, value
