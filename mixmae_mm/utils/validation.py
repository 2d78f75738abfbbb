"""Checks of settings, named in the errors, before anything is built. Types are left to Python and PyTorch."""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from numbers import Integral


def check_whole(minimum: int = 1, **settings: int) -> None:
    """Raise a `ValueError` for settings that are not integers of at least `minimum`."""
    _check(settings, lambda x: isinstance(x, Integral) and x >= minimum, f'must be a whole number, {minimum} or more')


def check_positive(**settings: float) -> None:
    """Raise a `ValueError` for settings that are not positive and finite."""
    _check(settings, lambda x: 0 < x < math.inf, 'must be a positive number')


def check_rate(**settings: float) -> None:
    """Raise a `ValueError` for settings that are not drop rates, 0 or more and below 1."""
    _check(settings, lambda x: 0 <= x < 1, 'must be a number, 0 or more and below 1')


def check_share(of: str, **settings: float) -> None:
    """Raise a `ValueError` for settings that are not shares of `of`, above 0 and up to 1."""
    _check(settings, lambda x: 0 < x <= 1, f'must be a fraction of {of}, above 0 and up to 1')


def check_indices(indices: Collection[int], count: int, setting: str, of: str) -> tuple[int, ...]:
    """Return indices as a tuple; raise a `ValueError` for any outside 0 to `count` - 1."""
    if not all(isinstance(index, Integral) and 0 <= index < count for index in indices):
        raise ValueError(f'{setting} {tuple(indices)} must be among the {of} 0 to {count - 1}')
    return tuple(indices)


def check_one_of(known: Sequence[str], **settings: str) -> str:
    """Return the value of a setting; raise a `ValueError` if it is not among the known ones."""
    _check(settings, lambda x: x in known, f'must be one of {", ".join(known)}')
    return next(iter(settings.values()))


def _check(settings: Mapping[str, object], is_valid: Callable[[object], bool], must: str) -> None:
    """Raise for the first invalid setting."""
    for name, value in settings.items():
        if not is_valid(value):
            raise ValueError(f'{name} {must}, got {value!r}')
