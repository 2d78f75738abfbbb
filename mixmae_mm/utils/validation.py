"""Checks of settings: what is wrong is told by its name, before anything is built with it."""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from numbers import Integral, Real


def is_whole(value: object, least: int = 1) -> bool:
    """Tell a whole number, of at least that much, from all else; True and False are none."""
    return isinstance(value, Integral) and not isinstance(value, bool) and value >= least


def is_number(value: object) -> bool:
    """Tell a finite number from all else; True and False are none."""
    return isinstance(value, Real) and not isinstance(value, bool) and -math.inf < value < math.inf


def names_some(numbers: Collection, count: int) -> bool:
    """Return whether all are numbers of some of `count` things, from 0."""
    return all(is_whole(number, 0) and number < count for number in numbers)


def check_whole(least: int = 1, **settings: object) -> None:
    """Refuse what is no whole number.

    Raises:
        ValueError: one of them is none, or less than `least`.
    """
    for name, value in settings.items():
        if not is_whole(value, least):
            raise ValueError(f'{name} must be a whole number, {least} or more, got {value!r}')


def check_encoder(
    patch_size: int,
    in_channels: int,
    frozen_stages: int,
    mlp_ratio: float,
    drop_path_rate: float,
    pad_value: float | None,
) -> None:
    """Refuse what no encoder can be built with.

    Raises:
        ValueError: one of them is such.
    """
    check_whole(patch_size=patch_size, in_channels=in_channels)
    check_whole(-1, frozen_stages=frozen_stages)
    check_positive(mlp_ratio=mlp_ratio)
    check_rate(drop_path_rate=drop_path_rate)
    if pad_value is not None:
        check_number(pad_value=pad_value)


def find_sizes(arch: str | dict, known: Mapping[str, dict]) -> Mapping:
    """Look an encoder's sizes up by name, or take one's own, which have the same entries.

    Raises:
        ValueError: an unknown name, or anything but a dict with these entries.
    """
    sizes = known.get(arch) if isinstance(arch, str) else arch
    *first, last = next(iter(known.values()))
    entries = f'{", ".join(first)} and {last}'
    if not isinstance(sizes, Mapping):
        raise ValueError(f'arch {arch!r} is unknown: take one of {", ".join(known)}, or a dict with {entries}')
    if set(sizes) != {*first, last}:
        raise ValueError(f'arch must hold {entries}, got {sorted(map(str, sizes))}')
    return sizes


def check_number(**settings: object) -> None:
    """Refuse what is no finite number.

    Raises:
        ValueError: one of them is none.
    """
    for name, value in settings.items():
        if not is_number(value):
            raise ValueError(f'{name} must be a finite number, got {value!r}')


def check_positive(**settings: object) -> None:
    """Refuse what is no positive, finite number.

    Raises:
        ValueError: one of them is none.
    """
    for name, value in settings.items():
        if not (is_number(value) and value > 0):
            raise ValueError(f'{name} must be a positive number, got {value!r}')


def check_rate(**settings: object) -> None:
    """Refuse what is no rate at which something is dropped.

    Raises:
        ValueError: one of them is none.
    """
    for name, value in settings.items():
        if not (is_number(value) and 0 <= value < 1):
            raise ValueError(f'{name} must be a number, 0 or more and below 1, got {value!r}')


def check_share(of: str, above_zero: bool = False, **settings: object) -> None:
    """Refuse what is no share of `of`, from 0, or from above it, to 1.

    Raises:
        ValueError: one of them is none.
    """
    bounds = 'above 0 and up to 1' if above_zero else '0 to 1'
    for name, value in settings.items():
        if not (is_number(value) and 0 <= value <= 1) or (above_zero and value == 0):
            raise ValueError(f'{name} is a share of {of}, {bounds}, got {value!r}')


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
        if not all(is_number(x) and x > 0 for x in numbers) or numbers[0] > numbers[1]:
            raise ValueError(f'{name} must be two positive numbers, the least and the greatest, got {value!r}')


def check_list(least: int = 1, **settings: object) -> None:
    """Refuse what is no list (tuple, range, array); a text and a dict are none.

    Raises:
        ValueError: one of them is none, or has less than `least` entries.
    """
    for name, value in settings.items():
        is_list = isinstance(value, Collection) and not isinstance(value, str | bytes | Mapping)
        if not is_list or len(value) < least:
            raise ValueError(f'{name} must be a list of {least} or more entries, got {value!r}')


def check_each(check: Callable[..., None], /, **settings: object) -> None:
    """Refuse what is no list of things that `check` lets pass, one at least.

    Raises:
        ValueError: one of them is none.
    """
    for name, value in settings.items():
        check_list(**{name: value})
        for place, entry in enumerate(value):
            check(**{f'{name}[{place}]': entry})
