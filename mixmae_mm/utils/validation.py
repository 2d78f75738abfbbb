"""Checks of settings, so that an invalid one is reported by its name before anything is built with it."""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from numbers import Integral, Real


def is_whole(value: object, least: int = 1) -> bool:
    """Return whether a value is an integer of at least `least`; booleans are not integers here."""
    return isinstance(value, Integral) and not isinstance(value, bool) and value >= least


def is_number(value: object) -> bool:
    """Return whether a value is a finite number; booleans are not numbers here."""
    return isinstance(value, Real) and not isinstance(value, bool) and -math.inf < value < math.inf


def names_some(numbers: Collection, count: int) -> bool:
    """Return whether all are indices of `count` things, from 0."""
    return all(is_whole(number, 0) and number < count for number in numbers)


def check_whole(least: int = 1, **settings: object) -> None:
    """Check that settings are integers of at least `least`.

    Raises:
        ValueError: one of them is not.
    """
    _check(settings, lambda value: is_whole(value, least), f'must be a whole number, {least} or more')


def check_encoder(
    patch_size: int,
    in_channels: int,
    frozen_stages: int,
    mlp_ratio: float,
    drop_path_rate: float,
    pad_value: float | None,
) -> None:
    """Check the settings that all encoders share.

    Raises:
        ValueError: one of them is invalid.
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
    """Check that settings are finite numbers.

    Raises:
        ValueError: one of them is not.
    """
    _check(settings, is_number, 'must be a finite number')


def check_positive(**settings: object) -> None:
    """Check that settings are positive, finite numbers.

    Raises:
        ValueError: one of them is not.
    """
    _check(settings, lambda value: is_number(value) and value > 0, 'must be a positive number')


def check_rate(**settings: object) -> None:
    """Check that settings are rates at which something is dropped.

    Raises:
        ValueError: one of them is not.
    """
    _check(settings, lambda value: is_number(value) and 0 <= value < 1, 'must be a number, 0 or more and below 1')


def check_share(of: str, above_zero: bool = False, **settings: object) -> None:
    """Check that settings are shares of `of`, from 0, or from above it, to 1.

    Raises:
        ValueError: one of them is not.
    """
    bounds = 'above 0 and up to 1' if above_zero else '0 to 1'
    _check(
        settings,
        lambda value: is_number(value) and 0 <= value <= 1 and not (above_zero and value == 0),
        f'is a share of {of}, {bounds}',
    )


def check_flag(**settings: object) -> None:
    """Check that settings are True or False.

    Raises:
        ValueError: one of them is not.
    """
    _check(settings, lambda value: isinstance(value, bool), 'must be True or False')


def check_range(**settings: Sequence[float]) -> None:
    """Check that settings are a least and a greatest positive number.

    Raises:
        ValueError: one of them is not.
    """

    def is_range(value: object) -> bool:
        """Return whether a value is two such numbers."""
        is_pair = isinstance(value, list | tuple) and len(value) == 2
        return is_pair and all(is_number(x) and x > 0 for x in value) and value[0] <= value[1]

    _check(settings, is_range, 'must be two positive numbers, the least and the greatest')


def check_list(least: int = 1, **settings: object) -> None:
    """Check that settings are lists (tuples, ranges, arrays), not text or dicts.

    Raises:
        ValueError: one of them is not, or has less than `least` entries.
    """

    def is_list(value: object) -> bool:
        """Return whether a value is a long enough list."""
        is_collection = isinstance(value, Collection) and not isinstance(value, str | bytes | Mapping)
        return is_collection and len(value) >= least

    _check(settings, is_list, f'must be a list of {least} or more entries')


def check_each(check: Callable[..., None], /, **settings: object) -> None:
    """Check that settings are lists of one entry or more, each of which passes `check`.

    Raises:
        ValueError: one of them is not.
    """
    for name, value in settings.items():
        check_list(**{name: value})
        for place, entry in enumerate(value):
            check(**{f'{name}[{place}]': entry})


def _check(settings: Mapping[str, object], is_valid: Callable[[object], bool], must: str) -> None:
    """Raise for the first invalid setting."""
    for name, value in settings.items():
        if not is_valid(value):
            raise ValueError(f'{name} {must}, got {value!r}')
