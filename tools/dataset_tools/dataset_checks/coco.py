"""Checks of COCO's JSON, of the images it names and their sizes; the objects are in coco_objects.py."""

import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from dataset_checks.coco_objects import annotation_findings, set_findings
from dataset_checks.coco_segmentations import NO_PYCOCOTOOLS, mask_reader
from dataset_checks.faults import MISSING, NO_FOLDER
from dataset_checks.files import SPLITS, Crew, look
from dataset_checks.turning import size_findings
from mixmae_mm.datasets.transforms.random_resized_crop import OPENCV_MOST
from mixmae_mm.engine.checks.report import Fault, Finding, Report

COCO_NAME = re.compile(r'instances_(train|val)2017\.json')
COCO, COCO_CATEGORIES = {'train': 118_287, 'val': 5_000}, 80
KEYS = dict(
    images=dict(id=(int, str), file_name=str, width=int, height=int),
    annotations=dict(id=(int, str), image_id=(int, str), category_id=(int, str), bbox=list, area=(int, float)),
    categories=dict(id=(int, str), name=str),
)

BAD_JSON = Fault('error', 'the JSON cannot be read', 'copy or download it again')
NOT_COCO = Fault('error', "the JSON lacks what COCO's has", 'it needs the lists "images", "annotations", "categories"')
INCOMPLETE = Fault(
    'error',
    'entries of the JSON that lack something, or have something of another type there',
    'images need id, file_name, width, height; annotations id, image_id, category_id, bbox, area; categories id, name',
)
DUPLICATES = Fault('error', 'ids that are there more than once', 'number the entries anew')
OTHER_SIZE = Fault(
    'error',
    'images of another size than the JSON says',
    'resize boxes and masks with the images',
)


@dataclass(frozen=True)
class CocoSplit:
    """A JSON file in COCO's format and the folder that its file names start from."""

    name: str
    ann: str
    folder: str
    turns: bool = True
    """Whether images are turned by their EXIF orientation when they are read."""

    def check(self, report: Report, crew: Crew) -> None:
        """Check the JSON, then each image against it."""
        data, findings = read_json(self.ann)
        report.add(self.name, findings)
        if findings:
            return
        report.add(self.name, incomplete_entries(data))
        data = {key: [entry for entry in data[key] if not _lacks(entry, KEYS[key])] for key in KEYS}
        report.count('coco', self.name, **_counts(data))
        self._check_entries(data, report, crew)
        if os.path.isdir(self.folder):
            self._check_images(data['images'], report, crew)
        else:
            report.add(self.name, [(NO_FOLDER, self.folder)])

    def _check_entries(self, data: dict, report: Report, crew: Crew) -> None:
        """Check what stands in the JSON."""
        annotations = data['annotations']
        sizes = {image['id']: (image['width'], image['height']) for image in data['images']}
        categories = {category['id']: category['name'] for category in data['categories']}
        report.add(self.name, duplicate_ids(data))
        report.add(self.name, coco_findings(self.ann, data))
        report.add(self.name, set_findings(annotations))
        masks = mask_reader()
        report.add(self.name, [] if masks else [(NO_PYCOCOTOOLS, '')])
        for annotation in crew.watch(annotations, f'{self.name}: annotations'):
            report.add(self.name, annotation_findings(annotation, sizes, categories, None if crew.quick else masks))

    def _check_images(self, images: list[dict], report: Report, crew: Crew) -> None:
        """Open the images."""
        jobs = ((os.path.join(self.folder, x['file_name']), (x['width'], x['height'])) for x in images)
        work = partial(_look_at_listed, quick=crew.quick, turns=self.turns)
        for findings in crew.run(work, jobs, len(images), f'{self.name}: images'):
            report.add(self.name, findings)


def read_json(path: str) -> tuple[dict, list[Finding]]:
    """Read COCO's JSON, and tell what keeps it from being checked further."""
    if not os.path.isfile(path):
        return {}, [(MISSING, path)]
    try:
        data = json.loads(Path(path).read_bytes())
    except ValueError as error:
        return {}, [(BAD_JSON, f'{path}: {error}')]
    lacking = [key for key in KEYS if not isinstance(data, dict) or not isinstance(data.get(key), list)]
    return data, [(NOT_COCO, f'{path}: no {key}') for key in lacking]


def incomplete_entries(data: dict) -> Iterator[Finding]:
    """Tell which entries cannot be used."""
    for key in KEYS:
        for entry in data[key]:
            if lacking := _lacks(entry, KEYS[key]):
                name = f'id {entry.get("id")}' if isinstance(entry, dict) else f'{entry!r:.20}'
                yield INCOMPLETE, f'{key} {name}: {lacking}'


def _lacks(entry: Any, types: dict) -> str:
    """Name the first thing that an entry lacks or has of a wrong type; '' if it is whole."""
    if not isinstance(entry, dict):
        return 'not a dictionary'
    return next((key for key, kind in types.items() if not isinstance(entry.get(key), kind)), '')


def _counts(data: dict) -> dict[str, int]:
    """Count for the table."""
    annotations = data['annotations']
    used = {x['category_id'] for x in annotations} & {x['id'] for x in data['categories']}
    shown = {x['image_id'] for x in annotations}
    return dict(
        images=len(data['images']),
        without_objects=sum(x['id'] not in shown for x in data['images']),
        objects=len(annotations),
        crowds=sum(bool(x.get('iscrowd')) for x in annotations),
        categories=len(data['categories']),
        categories_used=len(used),
    )


def duplicate_ids(data: dict) -> Iterator[Finding]:
    """Tell which ids are there twice."""
    for key in KEYS:
        times = Counter(entry['id'] for entry in data[key])
        yield from ((DUPLICATES, f'{key} id {number}') for number, count in times.items() if count > 1)


def coco_findings(ann: str, data: dict) -> Iterator[Finding]:
    """Compare what claims to be COCO 2017, by its file's name, with what that has."""
    name = COCO_NAME.fullmatch(os.path.basename(ann))
    expected = {'images': COCO[name[1]], 'categories': COCO_CATEGORIES} if name else {}
    for key, number in expected.items():
        if len(data[key]) != number:
            what = f'{len(data[key]):,} {key}, where COCO 2017 has {number:,} in {name[0]}'
            yield Fault('error', what, 'download the annotations again; give a set of your own another name'), ''


def _look_at_listed(job: tuple[str, tuple[int, int]], quick: bool, turns: bool) -> list[Finding]:
    """Open an image of the JSON and compare its size."""
    path, said = job
    seen, findings = look(path, quick, OPENCV_MOST)
    if seen is None:
        return findings
    size = seen.upright if turns else seen.stored
    other = OTHER_SIZE, f'{path}: {size[0]} x {size[1]}, said to be {said[0]} x {said[1]}'
    return list(size_findings(path, seen, said, turns, other))


def find_coco(folder: str) -> list[CocoSplit]:
    """Find JSON files where they usually lie, and the images that belong to them."""
    root = Path(folder)
    found = sorted(root.glob('annotations/instances_*.json'))
    found += [path for name in SPLITS for path in (root / 'annotations' / f'{name}.json', root / f'{name}.json')]
    named = [(path.stem.removeprefix('instances_'), path) for path in found if path.is_file()]
    inside = [(name, root / name / '_annotations.coco.json') for name in SPLITS]
    return [CocoSplit(name, str(path), _images_of(root, name)) for name, path in named] + [
        CocoSplit(name, str(path), str(path.parent)) for name, path in inside if path.is_file()
    ]


def _images_of(root: Path, split: str) -> str:
    """Find the folder of a split's images: the first of the usual ones that is there."""
    usual = [root / 'images' / split, root / split, root / 'images']
    return str(next((path for path in usual if path.is_dir()), root / split))
