"""Checks of settings by their names, before anything is built with them. Types are left to Python and PyTorch."""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from numbers import Integral


def check_whole(least: int = 1, **settings: int) -> None:
    """Raise a `ValueError` for settings that are not integers of at least `least`."""
    _check(settings, lambda x: isinstance(x, Integral) and x >= least, f'must be a whole number, {least} or more')


def check_positive(**settings: float) -> None:
    """Raise a `ValueError` for settings that are not positive and finite."""
    _check(settings, lambda x: 0 < x < math.inf, 'must be a positive number')


def check_rate(**settings: float) -> None:
    """Raise a `ValueError` for settings that are not rates at which something is dropped."""
    _check(settings, lambda x: 0 <= x < 1, 'must be a number, 0 or more and below 1')


def check_share(of: str, above_zero: bool = False, **settings: float) -> None:
    """Raise a `ValueError` for settings that are not shares of `of`, from 0, or from above it, to 1."""
    bounds = 'above 0 and up to 1' if above_zero else '0 to 1'
    _check(settings, lambda x: 0 <= x <= 1 and not (above_zero and x == 0), f'is a share of {of}, {bounds}')


def check_indices(indices: Collection[int], count: int, setting: str, of: str) -> tuple[int, ...]:
    """Return indices as a tuple; raise a `ValueError` where they are not of `count` things, from 0."""
    if not all(isinstance(index, Integral) and 0 <= index < count for index in indices):
        raise ValueError(f'{setting} {tuple(indices)} must name some of the {of} 0 to {count - 1}')
    return tuple(indices)


def check_one_of(known: Sequence[str], **settings: str) -> str:
    """Return the value of a setting; raise a `ValueError` where it is not one of a few."""
    _check(settings, lambda x: x in known, f'must be one of {", ".join(known)}')
    return next(iter(settings.values()))


def find_sizes(arch: str | dict, known: Mapping[str, dict]) -> Mapping:
    """Look an encoder's sizes up by name, or take one's own; raise a `ValueError` for others."""
    sizes = known.get(arch) if isinstance(arch, str) else arch
    entries = next(iter(known.values())).keys()
    if not isinstance(sizes, Mapping) or sizes.keys() != entries:
        raise ValueError(
            f'arch {arch!r} is unknown: take one of {", ".join(known)}, or a dict with {", ".join(entries)}'
        )
    return sizes


def check_each(check: Callable[..., None], /, **settings: Sequence) -> None:
    """Check every entry of settings that are lists."""
    for name, entries in settings.items():
        for place, entry in enumerate(entries):
            check(**{f'{name}[{place}]': entry})


def _check(settings: Mapping[str, object], is_valid: Callable[[object], bool], must: str) -> None:
    """Raise for the first invalid setting."""
    for name, value in settings.items():
        if not is_valid(value):
            raise ValueError(f'{name} {must}, got {value!r}')
