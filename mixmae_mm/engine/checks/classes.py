"""Checks that the classes of a run agree in number, names and order, whatever the library."""

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from numbers import Integral
from typing import NamedTuple

from mixmae_mm.engine.checks.report import Finding

SPLITS = ('train', 'training', 'val', 'valid', 'validation', 'test', 'testing')
OTHER_CLASSES = Finding(
    'error',
    'classes that are not in all splits',
    'labels are positions in the list or the sorted folders: add the class (an empty folder will do) or delete it',
)
OTHER_ORDER = Finding(
    'error', 'classes in a different order', 'name them in the same order everywhere, as it gives the labels'
)
TOO_HIGH = Finding(
    'error',
    'class folders named like splits',
    'data_prefix (or data_root) is one level too high: it must be the folder that holds the class folders',
)
BAD_LINES = Finding(
    'error',
    'lines of the list that are not "name label"',
    'write a name, one space and a label, a number from 0, without blank lines or a byte order mark',
)


class Classes(NamedTuple):
    """The classes of a split, by label."""

    split: str
    names: tuple[str, ...]


def compare_splits(found: Sequence[Classes]) -> Iterator[Finding]:
    """Report classes that some split lacks, or whose order differs from that in the first split."""
    for name in sorted({name for classes in found for name in classes.names}):
        where = [classes.split for classes in found if name in classes.names]
        if len(where) < len(found):
            yield OTHER_CLASSES.at(f'{name} (only in {", ".join(where)})')
    for other in found[1:] if all(set(classes.names) == set(found[0].names) for classes in found) else ():
        for label, (name, another) in enumerate(zip(found[0].names, other.names, strict=False)):
            if name != another:
                yield OTHER_ORDER.at(f'label {label} is {name} in {found[0].split} and {another} in {other.split}')


def compare_folders(split: str, folders: Sequence[str], named: Sequence[str]) -> Iterator[Finding]:
    """Compare class folders, whose alphabetical order defines the labels, with the class names in a config.

    Names that have nothing in common with the folders only describe them, as for ImageNet: only the counts must agree.
    """
    if set(map(str.lower, folders)) <= set(SPLITS):
        yield from map(TOO_HIGH.at, folders)
    elif named and len(named) != len(folders):
        what = f'{len(folders):,} class folders, but the config has {len(named):,} classes'
        yield Finding('error', what, "unpack the rest, or correct the dataset's type or metainfo in the config")
    elif set(folders) & set(named):
        yield from compare_splits([Classes(f'folders of {split}', tuple(folders)), Classes('metainfo', tuple(named))])


def compare_numbers(
    found: Sequence[Classes], numbers: Mapping[str, int], exact: bool = False
) -> Iterator[tuple[str, Finding]]:
    """Compare the number of classes of each split with those of heads, preprocessor and metrics, and these mutually.

    `numbers` maps the names of their settings to the values. More classes than outputs are an error; fewer are a
    warning, or an error if `exact`.
    """
    if len(set(numbers.values())) > 1:
        given = ', '.join(f'{name}={number}' for name, number in numbers.items())
        what = f'settings with different numbers of classes: {given}'
        yield 'config', Finding('error', what, 'set all of them to the number of classes in the dataset')
    for split, names in found:
        for name, number in numbers.items():
            if names and len(names) != number:
                severity = 'error' if exact or len(names) > number else 'warning'
                advice = f'set {name}={len(names)}, or correct the folders or metainfo.classes'
                yield split, Finding(severity, f'{len(names):,} classes, where {name} is {number:,}', advice)


def compare_labels(labels: Mapping[object, int], number: int) -> Iterator[Finding]:
    """Report labels outside 0 to `number` - 1, and classes without images; `labels` maps labels to their counts."""
    what = f'labels outside 0 to {number - 1:,}, for {number:,} classes'
    fault = Finding('error', what, "correct the list, or the config's number of classes; labels start at 0")
    wrong = [label for label in labels if not (isinstance(label, Integral) and 0 <= label < number)]
    yield from (fault.at(f'label {label!r}') for label in sorted(wrong, key=str))
    if labels and len(labels) < number:
        advice = 'add images of the others, or lower the number of classes; nothing, if intended'
        yield Finding('warning', f'{len(labels):,} of {number:,} classes have an image', advice)


def read_list(ann_file: str) -> tuple[list[tuple[str, int]], list[Finding]]:
    """Return the entries of mmpretrain's list, "name label" per line, and its faults; nothing if there is no file."""
    entries, findings = [], []
    with open(ann_file if os.path.isfile(ann_file) else os.devnull, encoding='utf-8') as lines:
        for line in lines:
            name, _, label = line.strip().rpartition(' ')
            if name and name == name.strip('\ufeff \t') and label.isdecimal():
                entries.append((name, int(label)))
            else:
                findings.append(BAD_LINES.at(f'{name} {label}'.lstrip() or 'a blank line'))
    return entries, findings


def list_findings(ann_file: str, number: int) -> Iterator[Finding]:
    """Report problems with a list, given the number of classes (0 if unknown)."""
    entries, findings = read_list(ann_file)
    labels = Counter(label for _, label in entries)
    yield from findings
    if labels and 0 not in labels:
        yield Finding('warning', 'no image of the list has label 0', 'number the classes from 0, not from 1')
    if number:
        yield from compare_labels(labels, number)
