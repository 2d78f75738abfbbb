"""Checks of settings: what is wrong is told by its name, before anything is built with it."""

import math
from collections.abc import Sequence
from numbers import Integral, Real


def is_whole(value: object, least: int = 1) -> bool:
    """Tell a whole number, of at least that much, from all else; True and False are none."""
    return isinstance(value, Integral) and not isinstance(value, bool) and value >= least


def check_whole(least: int = 1, **settings: object) -> None:
    """Refuse what is no whole number.

    Raises:
        ValueError: one of them is none, or less than `least`.
    """
    for name, value in settings.items():
        if not is_whole(value, least):
            raise ValueError(f'{name} must be a whole number, {least} or more, got {value!r}')


def check_encoder(patch_size: int, in_channels: int, frozen_stages: int, mlp_ratio: float) -> None:
    """Refuse what no encoder can be built with.

    Raises:
        ValueError: one of them is such.
    """
    check_whole(patch_size=patch_size, in_channels=in_channels)
    check_whole(-1, frozen_stages=frozen_stages)
    check_positive(mlp_ratio=mlp_ratio)


def check_positive(**settings: object) -> None:
    """Refuse what is no positive, finite number.

    Raises:
        ValueError: one of them is none.
    """
    for name, value in settings.items():
        if not (isinstance(value, Real) and not isinstance(value, bool) and 0 < value < math.inf):
            raise ValueError(f'{name} must be a positive number, got {value!r}')


def check_flag(**settings: object) -> None:
    """Refuse what is neither True nor False.

    Raises:
        ValueError: one of them is something else.
    """
    for name, value in settings.items():
        if not isinstance(value, bool):
            raise ValueError(f'{name} must be True or False, got {value!r}')


def check_range(**settings: Sequence[float]) -> None:
    """Refuse what is not a least and a greatest positive number.

    Raises:
        ValueError: one of them is something else.
    """
    for name, value in settings.items():
        numbers = value if isinstance(value, list | tuple) and len(value) == 2 else ('', '')
        if not all(isinstance(x, Real) and 0 < x < math.inf for x in numbers) or numbers[0] > numbers[1]:
            raise ValueError(f'{name} must be two positive numbers, the least and the greatest, got {value!r}')
