"""Lists of images and labels: a line "name label" for each, as mmpretrain reads them, or JSON as mmengine does."""

import json
import os
from collections import Counter
from collections.abc import Iterator

from mixmae_mm.engine.checks.report import Fault, Finding

BAD_LINES = Fault(
    'error',
    'lines of the list that are not "name label"',
    'write a name, one blank and a label, which is a number from 0 on, without blank lines or a byte order mark',
)
NOT_FROM_ZERO = Fault('warning', 'no image of the list has label 0', 'number the classes from 0 on, not from 1')


def list_lines(ann_file: str) -> Iterator[tuple[str, str]]:
    """Read names and labels from a list; nothing from one that is not there."""
    if os.path.isfile(ann_file):
        with open(ann_file, encoding='utf-8') as lines:
            for line in lines:
                name, _, label = line.strip().rpartition(' ')
                yield name, label


def is_sound(line: tuple[str, str]) -> bool:
    """Return whether a line of a list has a name and a label."""
    name, label = line
    return bool(name) and name == name.strip('\ufeff \t') and label.isdecimal()


def read_list(ann_file: str) -> tuple[Counter[int], list[Finding]]:
    """Count the labels of a list, and report what is wrong with it."""
    labels, findings = Counter(), []
    for line in list_lines(ann_file):
        if is_sound(line):
            labels[int(line[1])] += 1
        else:
            findings.append((BAD_LINES, ' '.join(line).lstrip() or 'a blank line'))
    if labels and 0 not in labels:
        findings.append((NOT_FROM_ZERO, ''))
    return labels, findings


def read_labels(ann_file: str) -> tuple[Counter[int], tuple[str, ...]]:
    """Count the labels of a JSON file as mmengine's datasets have it, and return the names of the classes."""
    try:
        with open(ann_file, 'rb') as file:
            data = json.load(file)
        given = [entry['gt_label'] for entry in data['data_list']]
        labels = Counter(label for one in given for label in (one if isinstance(one, list) else [one]))
        return labels, tuple(data['metainfo'].get('classes') or ())
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return Counter(), ()
