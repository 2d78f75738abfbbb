"""Checks of the objects in COCO's JSON: what they belong to, and their boxes."""

import math
from collections.abc import Iterator
from types import ModuleType

from dataset_checks.coco_segmentations import segmentation_findings
from mixmae_mm.engine.checks.report import Fault, Finding

NO_OBJECTS = Fault('error', 'no annotations at all', 'see whether this is the right file')
NO_IMAGE = Fault('error', 'annotations of images that the JSON does not name', 'delete them, or add the images')
NO_CATEGORY = Fault('error', 'annotations of unknown categories', 'add the categories to the JSON, or correct the ids')
BAD_BOX = Fault('error', 'boxes that are not four finite numbers', 'write x, y, width, height in pixels')
RELATIVE = Fault(
    'error', 'all boxes lie between 0 and 1', 'write x, y, width, height in pixels, not in shares of the sides'
)
FLAT_BOX = Fault(
    'warning', 'boxes with a width or height of 0 or less', 'nothing: mmdet leaves them out; or correct them'
)
SMALL_BOX = Fault('warning', 'boxes less than one pixel wide or high', 'nothing: mmdet leaves them out')
NO_AREA = Fault('warning', 'objects with an area of 0 or less', 'nothing: mmdet leaves them out; or correct "area"')
OUTSIDE = Fault(
    'error',
    'boxes outside their image',
    'were the images resized and the boxes not? Boxes are x, y, width, height in pixels, not two corners',
)
STICKS_OUT = Fault(
    'warning',
    'boxes that stick out of their image by more than a pixel',
    'nothing for a few; for many see whether boxes are x, y, width, height in pixels, not two corners',
)
NO_MASKS = Fault('warning', 'no object has a segmentation', 'fine for boxes; Mask R-CNN cannot be trained')
SOME_MASKS = Fault(
    'error', 'objects without segmentation among those with one', 'add it or delete the objects: mmdet stops'
)


def set_findings(annotations: list[dict]) -> Iterator[Finding]:
    """Tell what only all annotations together show."""
    if not annotations:
        yield NO_OBJECTS, ''
        return
    bare = [annotation for annotation in annotations if not annotation.get('segmentation')]
    if len(bare) == len(annotations):
        yield NO_MASKS, ''
    else:
        yield from ((SOME_MASKS, _name(annotation)) for annotation in bare)
    if all(_is_box(x['bbox']) and min(x['bbox']) >= 0 and max(x['bbox']) <= 1 for x in annotations):
        yield RELATIVE, ''


def annotation_findings(annotation: dict, sizes: dict, categories: dict, masks: ModuleType | None) -> Iterator[Finding]:
    """Tell what is wrong with an annotation; `sizes`: (width, height) of the images by their ids."""
    name = _name(annotation)
    if annotation['category_id'] not in categories:
        yield NO_CATEGORY, f'{name}: category {annotation["category_id"]}'
    if annotation['area'] <= 0:
        yield NO_AREA, name
    if annotation['image_id'] not in sizes:
        yield NO_IMAGE, f'{name}: image {annotation["image_id"]}'
        return
    size = sizes[annotation['image_id']]
    yield from box_findings(name, annotation['bbox'], size)
    yield from segmentation_findings(name, annotation.get('segmentation'), size, masks)


def _name(annotation: dict) -> str:
    """Name an annotation."""
    return f'annotation {annotation["id"]}'


def _is_box(box: list) -> bool:
    """Return whether these are four finite numbers."""
    return len(box) == 4 and all(isinstance(x, int | float) and math.isfinite(x) for x in box)


def box_findings(name: str, box: list, size: tuple[int, int]) -> Iterator[Finding]:
    """Tell what is wrong with a box."""
    if not _is_box(box):
        yield BAD_BOX, f'{name}: {box}'
        return
    (x, y, width, height), case = box, f'{name}: {box} in {size[0]} x {size[1]}'
    if min(width, height) <= 0:
        yield FLAT_BOX, case
    elif min(width, height) < 1:
        yield SMALL_BOX, case
    elif x >= size[0] or y >= size[1] or x + width <= 0 or y + height <= 0:
        yield OUTSIDE, case
    elif min(x, y) < -1 or x + width > size[0] + 1 or y + height > size[1] + 1:
        yield STICKS_OUT, case
