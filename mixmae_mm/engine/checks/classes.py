"""Checks that the classes of a run agree in number, names and order, whatever the library."""

from collections.abc import Iterator, Mapping, Sequence
from numbers import Integral
from typing import NamedTuple

from mixmae_mm.engine.checks.report import Fault, Finding

SPLITS = {'train', 'training', 'val', 'valid', 'validation', 'test', 'testing'}

OTHER_CLASSES = Fault(
    'error',
    'classes that are not in all splits',
    'classes are numbered by their place in the list, folders by the alphabet, so each split needs the same: add them '
    '(an empty folder does), or delete them',
)
OTHER_ORDER = Fault(
    'error', 'classes that stand in another order', 'name them everywhere in the same order, which gives the labels'
)
ONE_STRING = Fault(
    'error', 'classes are one string, which is taken letter by letter', "write a tuple: classes=('nucleus',)"
)
NO_NAMES = Fault(
    'error', 'no classes are named, which IoUMetric counts', 'set metainfo=dict(classes=(...)) of the dataset'
)
OTHER_NUMBERS = Fault(
    'error', 'settings with different numbers of classes', 'give all of them the number of classes of the data set'
)
TOO_HIGH = Fault(
    'error',
    'class folders that are named like splits',
    'data_prefix (or data_root) leads one level too high: it must lead to the folder that holds the class folders',
)
ADD_IMAGES = 'add images of the others, or set the number of classes lower; nothing, if so meant'


class Classes(NamedTuple):
    """The classes of a split, by label."""

    split: str
    names: tuple[str, ...]


def compare_splits(found: Sequence[Classes]) -> Iterator[Finding]:
    """Report classes that are not in all splits, or in another order; the others are compared with the first split."""
    for name in sorted({name for classes in found for name in classes.names}):
        where = [classes.split for classes in found if name in classes.names]
        if len(where) < len(found):
            yield OTHER_CLASSES, f'{name} (only in {", ".join(where)})'
    if all(set(classes.names) == set(found[0].names) for classes in found):
        yield from (case for classes in found[1:] for case in compare_order(found[0], classes))


def compare_order(ours: Classes, other: Classes) -> Iterator[Finding]:
    """Report the labels that two lists of the same classes give to different names."""
    for label, (name, another) in enumerate(zip(ours.names, other.names, strict=False)):
        if name != another:
            yield OTHER_ORDER, f'label {label} is {name} in {ours.split} and {another} in {other.split}'


def compare_folders(split: str, folders: Sequence[str], named: Sequence[str]) -> Iterator[Finding]:
    """Compare class folders, whose order in the alphabet gives the labels, with the names that a config gives.

    Names that have nothing in common with the folders are taken for words for them, as ImageNet's are.
    """
    if set(map(str.lower, folders)) <= SPLITS:
        yield from ((TOO_HIGH, name) for name in folders)
    elif named and len(named) != len(folders):
        what = f'{len(folders):,} class folders, where the config has {len(named):,} classes'
        yield Fault('error', what, "unpack the rest, or correct the dataset's type or metainfo in the config"), ''
    elif set(folders) & set(named):
        ours, other = Classes(f'folders of {split}', tuple(folders)), Classes('metainfo', tuple(named))
        yield from compare_splits([ours, other])


def compare_numbers(
    found: Sequence[Classes], numbers: Mapping[str, int], deeper: int = 0, exact: bool = False
) -> Iterator[tuple[str, Fault]]:
    """Compare the number of classes of each split with those of heads, preprocessor and metrics.

    Args:
        found: The classes of each split.
        numbers: Numbers of classes by their setting.
        deeper: How many folders lie in the class folders of the first split, if they hold no images of their own.
        exact: Whether a metric is used that has no place for predictions of other classes.
    """
    if len(set(numbers.values())) > 1:
        given = ', '.join(f'{name}={number}' for name, number in numbers.items())
        yield 'config', OTHER_NUMBERS._replace(what=f'{OTHER_NUMBERS.what}: {given}')
    for classes in found:
        count = len(classes.names)
        for name, number in numbers.items():
            if count and count != number:
                yield classes.split, _number_fault(count, name, number, deeper, exact)


def _number_fault(count: int, name: str, number: int, deeper: int, exact: bool) -> Fault:
    """Name both numbers, and what to do; more classes than outputs end training, fewer only waste some."""
    surplus = count > number or deeper == number or exact
    what = f'{count:,} classes, where {name} is {number:,}'
    if deeper:
        what += f' (and the class folders hold {deeper:,} folders: only the first level is taken for classes)'
    advice = f'set {name}={count}, or correct the folders or metainfo.classes'
    return Fault('error' if surplus else 'warning', what, advice)


def compare_labels(labels: Mapping[object, int], number: int) -> Iterator[Finding]:
    """Report labels, with how often they occur, that are not from 0 up to the number of classes."""
    what = f'labels that are not from 0 to {number - 1:,}, for {number:,} classes'
    fault = Fault('error', what, "correct the list, or the config's number of classes; labels start at 0")
    wrong = [label for label in labels if not (isinstance(label, Integral) and 0 <= label < number)]
    yield from ((fault, f'label {label!r}') for label in sorted(wrong, key=str))
    if labels and len(labels) < number:
        yield Fault('warning', f'{len(labels):,} of {number:,} classes have an image', ADD_IMAGES), ''
