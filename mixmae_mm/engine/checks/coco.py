"""Checks of COCO JSON files: fields, ids and categories. `check_dataset.py` also checks the objects."""

import functools
import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence

from mixmae_mm.engine.checks.classes import Classes, compare_splits
from mixmae_mm.engine.checks.report import Finding
from mixmae_mm.engine.checks.settings import name_findings

FIELDS = dict(
    images=('id', 'file_name', 'width', 'height'),
    annotations=('id', 'image_id', 'category_id', 'bbox', 'area'),
    categories=('id', 'name'),
)
"""Fields that every entry must have; without them, mmdet or pycocotools raise a KeyError."""
ADVICE = dict(
    area='add it: the width x height of its box will do',
    segmentation='add the outlines; or use a detector without mask head, with_mask=False in LoadAnnotations and '
    "metric='bbox'",
    iscrowd='add "iscrowd": 0, which evaluation needs',
)
NOT_THERE = Finding('error', 'classes of the config that the JSON does not have', 'spell them as in "categories"')
NOT_ASKED = Finding('warning', 'categories that the config does not name, which are left out', 'nothing, if intended')
REPEATED = Finding('error', 'ids that occur more than once', 'renumber the entries')


class CocoFile:
    """The contents of a COCO file, as far as a run needs them."""

    def __init__(self, path: str, data: dict) -> None:
        self.path, annotations = path, data['annotations']
        self.total = {key: len(data[key]) for key in FIELDS}
        self.needed = [(key, field) for key, fields in FIELDS.items() for field in fields]
        pairs = [*self.needed, ('annotations', 'iscrowd')]
        self.lacking = Counter({(key, field): sum(field not in x for x in data[key]) for key, field in pairs})
        self.lacking['annotations', 'segmentation'] = sum(not x.get('segmentation') for x in annotations)
        self.images = {x.get('id'): x.get('file_name') for x in data['images']}
        names = {x.get('id'): x.get('name') for x in data['categories']}
        self.categories = tuple(names.values())  # in the order of the file, which is that of the labels
        self.used = Counter(names.get(x.get('category_id')) for x in annotations)
        self.ids = dict(image_id=self.images, category_id=names)
        pairs = [(key, x[key]) for x in annotations for key, ids in self.ids.items() if key in x and x[key] not in ids]
        self.unmatched = Counter(key for key, _ in pairs)
        self.unknown = dict(reversed(pairs))  # the first of each key
        times = Counter((key, x.get('id')) for key in FIELDS for x in data[key])
        self.repeated = [f'{key} id {one}' for (key, one), count in times.items() if count > 1]

    def findings(self, *fields: str) -> Iterator[Finding]:
        """Report faulty entries, and missing fields: those always needed, and `fields` of annotations."""
        for key, field in [*self.needed, *(('annotations', field) for field in fields)]:
            if count := self.lacking[key, field]:
                what = f"'{field}' is missing in {count:,} of {self.total[key]:,} {key} of {self.path}"
                yield Finding('error', what, ADVICE.get(field, f'add it to the entries of "{key}"'))
        for key, count in self.unmatched.items():  # mmdet drops them silently
            severity = 'error' if count == self.total['annotations'] else 'warning'
            what = f'{count:,} of {self.total["annotations"]:,} annotations of {self.path} have an unknown {key}'
            known = f'such as {next(iter(self.ids[key]))!r}' if self.ids[key] else 'of which there are none'
            place = dict(image_id='images', category_id='categories')[key]
            advice = f'write ids of "{place}", {known}, in place of {self.unknown[key]!r}; or delete them'
            yield Finding(severity, f'{what}, and are left out', advice)
        yield from map(REPEATED.at, self.repeated)
        yield from name_findings([name for name in self.categories if name is not None])

    def compare_classes(self, classes: Sequence[str]) -> Iterator[Finding]:
        """Compare the categories with the classes that a config asks for; () asks for all.

        mmdet assigns labels in the order of the file, but names in the order of the config.
        """
        yield from (NOT_THERE.at(name) for name in classes if name not in self.categories)
        yield from (NOT_ASKED.at(str(name)) for name in self.categories if classes and name not in classes)
        kept = tuple(name for name in self.categories if name in classes)
        if sorted(kept) == sorted(classes):
            yield from compare_splits([Classes('the JSON', kept), Classes('the config', tuple(classes))])


def load_coco(path: str) -> tuple[dict | None, list[Finding]]:
    """Return the contents of a file, or why it cannot be used; None and no findings if there is no file."""
    if not os.path.isfile(path):
        return None, []
    try:
        with open(path, 'rb') as file:
            data = json.load(file)
    except ValueError as error:
        return None, [Finding('error', f'{path} is not valid JSON: {error}', 'copy or write it again')]
    lists = [data.get(key) if isinstance(data, dict) else None for key in FIELDS]
    if all(isinstance(entries, list) and all(isinstance(x, dict) for x in entries) for entries in lists):
        return data, []
    what = f"{path} is not in COCO's format: a dict with lists of dicts in images, annotations and categories"
    return None, [Finding('error', what, 'convert it')]


def read_coco(path: str) -> tuple[CocoFile | None, list[Finding]]:
    """Return what a run needs from a file, or why it cannot be used; read it again only if it has changed."""
    return _read_coco(path, os.stat(path).st_mtime_ns) if os.path.isfile(path) else (None, [])


@functools.lru_cache(maxsize=8)
def _read_coco(path: str, changed: int) -> tuple[CocoFile | None, list[Finding]]:
    """Read a file; its modification time `changed` only serves the cache."""
    data, findings = load_coco(path)
    return (None if data is None else CocoFile(path, data)), findings
