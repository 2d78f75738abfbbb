"""The contents of a JSON file in COCO's format, as far as a run needs them."""

import functools
import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from mixmae_mm.engine.checks.classes import OTHER_ORDER
from mixmae_mm.engine.checks.report import Fault, Finding

ALWAYS = dict(
    images=('id', 'file_name', 'width', 'height'),
    annotations=('id', 'image_id', 'category_id', 'bbox', 'area'),
    categories=('id', 'name'),
)
"""What every entry must have; without it mmdet or pycocotools stop with a KeyError."""

ADVICE = dict(
    area='add it: the width x height of its box will do',
    segmentation='add the outlines; or take a detector without mask head, with_mask=False in LoadAnnotations and '
    "metric='bbox'",
    iscrowd='add "iscrowd": 0, which evaluation asks for',
)
NOT_THERE = Fault('error', 'classes of the config that the JSON does not have', 'spell them as in "categories"')
NOT_ASKED = Fault('warning', 'categories that the config does not name, and that are left out', 'nothing, if so meant')


class CocoFile(NamedTuple):
    """Contents of a file."""

    path: str
    categories: tuple[str, ...]
    """Names, in the order of the file, which is that of the labels."""
    images: dict[Any, str]
    """File names by id."""
    annotations: Counter[str]
    """How many there are of each category."""
    lacking: Counter[tuple[str, str]]
    """How many entries of a list lack a field."""
    total: dict[str, int]
    unmatched: dict[str, int]
    """How many annotations name an image or a category that is not in the file."""
    short: int
    """How many annotations begin with a polygon of less than three corners."""


def read_coco(path: str) -> CocoFile | None:
    """Read a file; None if it is missing or not such a file, which loading the dataset reports."""
    try:
        return _read_coco(path, os.stat(path).st_mtime_ns)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


@functools.lru_cache(maxsize=8)
def _read_coco(path: str, changed: int) -> CocoFile:
    """Read a file, once for each state of it."""
    with open(path, 'rb') as file:
        data = json.load(file)
    lists = {key: data[key] for key in ALWAYS}
    pairs = ((key, field) for key, fields in ALWAYS.items() for field in fields)
    lacking = Counter({(key, field): sum(field not in x for x in lists[key]) for key, field in pairs})
    annotations = lists['annotations']
    lacking['annotations', 'segmentation'] = sum(not x.get('segmentation') for x in annotations)
    lacking['annotations', 'iscrowd'] = sum('iscrowd' not in x for x in annotations)
    names = {x.get('id'): x.get('name') for x in lists['categories']}
    images = {x.get('id'): x.get('file_name') for x in lists['images']}
    return CocoFile(
        path,
        tuple(names.values()),
        images,
        Counter(names.get(x.get('category_id')) for x in annotations),
        lacking,
        {key: len(entries) for key, entries in lists.items()},
        {
            key: sum(x[key] not in known for x in annotations if key in x)
            for key, known in dict(image_id=images, category_id=names).items()
        },
        sum(_is_short(x.get('segmentation')) for x in annotations),
    )


def _is_short(outline: Any) -> bool:
    """Return whether an outline begins with a polygon of less than three corners."""
    return isinstance(outline, list) and bool(outline) and isinstance(outline[0], list) and len(outline[0]) < 6


def not_coco(path: str) -> Iterator[Finding]:
    """Report a file that is there, and that pycocotools cannot read; files without annotations it can."""
    if not os.path.isfile(path):
        return
    try:
        with open(path, 'rb') as file:
            kind = type(json.load(file))
    except ValueError as error:
        yield Fault('error', f'{path} is not valid JSON: {error}', 'copy or write it again'), ''
    else:
        if kind is not dict:
            what = f"{path} holds a {kind.__name__}, where COCO's format has images, annotations and categories"
            yield Fault('error', what, 'convert it'), ''


def missing_fields(file: CocoFile, fields: Sequence[str]) -> Iterator[Finding]:
    """Report fields that entries lack: those always needed, and these of annotations."""
    needed = [(key, field) for key, always in ALWAYS.items() for field in always]
    for key, field in [*needed, *(('annotations', field) for field in fields)]:
        if count := file.lacking[key, field]:
            what = f"'{field}' is missing in {count:,} of {file.total[key]:,} {key} of {file.path}"
            yield Fault('error', what, ADVICE.get(field, f'add it to the entries of "{key}"')), ''


def unmatched_annotations(file: CocoFile) -> Iterator[Finding]:
    """Report annotations that mmdet leaves out in silence, as it does not find what they name."""
    for key, count in file.unmatched.items():
        if count:
            what = f'{count:,} of {file.total["annotations"]:,} annotations of {file.path} have an unknown {key}'
            yield Fault('warning', f'{what}, and are left out', 'correct it, or delete them'), ''


def short_polygons(file: CocoFile) -> Iterator[Finding]:
    """Report polygons that training leaves out, and that evaluation cannot read."""
    if file.short:
        what = f'{file.short:,} annotations of {file.path} have a polygon of less than three corners'
        yield Fault('error', what, 'delete them, or draw them again: pycocotools cannot compare with them'), ''


def compare_categories(categories: Sequence[str], classes: Sequence[str]) -> Iterator[Finding]:
    """Compare the categories of a file with the classes that a config asks for; () asks for all.

    mmdet gives labels in the order of the file, and names in the order of the config.
    """
    yield from ((NOT_THERE, name) for name in classes if name not in categories)
    yield from ((NOT_ASKED, name) for name in categories if classes and name not in classes)
    kept = [name for name in categories if name in classes]
    if sorted(kept) == sorted(classes):
        pairs = enumerate(zip(kept, classes, strict=True))
        yield from (
            (OTHER_ORDER, f'label {label} is {ours} in the JSON and {other} in the config')
            for label, (ours, other) in pairs
            if ours != other
        )
