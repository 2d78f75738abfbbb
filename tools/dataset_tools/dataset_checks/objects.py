"""Checks of the objects in a JSON file in COCO format: boxes, polygons and run-length codes."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np

from mixmae_mm.engine.checks.report import Finding

FAR = 10  # times the longer side of the image: polygons that reach farther are invalid
LARGEST = 2**28  # pixels: a run-length code that claims more is not decoded

NO_OBJECTS = Finding('error', 'no annotations at all', 'look whether this is the right file')
BAD_BOX = Finding('error', 'boxes that are not four finite numbers', 'write x, y, width, height in pixels')
RELATIVE = Finding(
    'error', 'all boxes lie between 0 and 1', 'write x, y, width, height in pixels, not as fractions of the sides'
)
SMALL_BOX = Finding('warning', 'boxes less than one pixel wide or high', 'nothing: mmdet leaves them out')
NO_AREA = Finding('warning', 'objects whose area is not above 0', 'nothing: mmdet leaves them out; or correct "area"')
OUTSIDE = Finding(
    'error',
    'boxes outside their image',
    'were the images resized and the boxes not? Boxes are x, y, width, height in pixels, not two corners',
)
STICKS_OUT = Finding(
    'warning',
    'boxes that stick out of their image by more than a pixel',
    'nothing for a few; for many, check that boxes are x, y, width, height in pixels, not two corners',
)
NO_MASKS = Finding('warning', 'no object has a segmentation', 'fine for boxes; Mask R-CNN cannot be trained')
SOME_MASKS = Finding(
    'error', 'objects without segmentation among those with one', 'add it or delete the objects: mmdet stops'
)
BAD_POLYGON = Finding(
    'error', 'polygons that cannot be read', 'write [[x, y, x, y, ...], ...] in pixels, three corners or more each'
)
BAD_CODE = Finding(
    'error',
    'run-length codes that do not fit their image',
    "encode the masks again at its size, with pycocotools' encode",
)


def object_findings(data: dict) -> Iterator[Finding]:
    """Report what is wrong with the objects of a file in which no field is missing."""
    annotations = data['annotations']
    sizes = {image['id']: (image['width'], image['height']) for image in data['images']}
    sizes = {one: size for one, size in sizes.items() if _numbers(size).size}
    bare = [f'annotation {one["id"]}' for one in annotations if not one.get('segmentation')]
    if not annotations:
        yield NO_OBJECTS
    elif len(bare) == len(annotations):
        yield NO_MASKS
    else:
        yield from map(SOME_MASKS.at, bare)
    boxes = [_numbers(one['bbox']) for one in annotations]
    if boxes and all(box.shape == (4,) and box.min() >= 0 and box.max() <= 1 for box in boxes):
        yield RELATIVE
    for one, box in zip(annotations, boxes, strict=True):
        size, name = sizes.get(one['image_id']), f'annotation {one["id"]}'
        if not isinstance(one['area'], int | float) or one['area'] <= 0:
            yield NO_AREA.at(name)
        if size:
            fault = _box_fault(box, size)
            yield from [fault.at(f'{name}: {one["bbox"]} in {size[0]} x {size[1]}')] if fault else []
            outline = one.get('segmentation') or []
            sound = _is_code(outline, size) if isinstance(outline, dict) else _are_polygons(outline, size)
            if not sound:
                yield (BAD_CODE if isinstance(outline, dict) else BAD_POLYGON).at(f'{name}: {outline!r:.60}')


def _numbers(values: Any) -> np.ndarray:
    """Return values as an array if they are finite numbers, or else an empty array."""
    with suppress(ValueError, TypeError):
        array = np.array(values)
        if array.dtype.kind in 'iuf' and np.isfinite(array).all():
            return array
    return np.zeros(0)


def _box_fault(box: np.ndarray, size: tuple[int, int]) -> Finding | None:
    """Return what is wrong with a box in an image of (width, height)."""
    if box.shape != (4,):
        return BAD_BOX
    first, last = box[:2], box[:2] + box[2:]
    if box[2:].min() < 1:
        return SMALL_BOX
    if (first >= size).any() or last.min() <= 0:
        return OUTSIDE
    return STICKS_OUT if first.min() < -1 or (last > np.add(size, 1)).any() else None


def _are_polygons(polygons: Any, size: tuple[int, int]) -> bool:
    """Return whether polygons are pairs of numbers near the image; others can make pycocotools exhaust the memory."""
    arrays = [_numbers(polygon) for polygon in polygons] if isinstance(polygons, list) else [np.zeros(0)]
    sound = (x.ndim == 1 and len(x) >= 6 and len(x) % 2 == 0 and abs(x).max() <= FAR * max(size) for x in arrays)
    return all(sound)


def _is_code(code: dict, size: tuple[int, int]) -> bool:
    """Return whether a run-length code, plain or compressed, gives a mask of the image's size."""
    counts, pixels = code.get('counts'), size[0] * size[1]
    if code.get('size') != [size[1], size[0]]:
        return False
    if isinstance(counts, list):
        return all(isinstance(x, int) and x >= 0 for x in counts) and sum(counts) == pixels
    try:
        from pycocotools import mask

        return pixels > LARGEST or bool(mask.decode(code).size)
    except ImportError:
        return isinstance(counts, str)
    except Exception:  # its C code raises nothing more specific
        return False
