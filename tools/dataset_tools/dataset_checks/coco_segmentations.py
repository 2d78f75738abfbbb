"""Checks of the outlines of COCO's objects: polygons and run-length codes."""

from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import numpy as np

from mixmae_mm.engine.checks.report import Fault, Finding

FAR = 10  # sides of the image: a polygon that goes so far is no polygon
LARGEST = 2**28  # pixels: a run-length code that claims more is not unfolded

BAD_POLYGON = Fault('error', 'polygons that cannot be read', 'write x, y, x, y, ... in pixels, three corners or more')
SMALL_POLYGON = Fault(
    'warning',
    'polygons of less than three corners',
    'delete them: training leaves them out, and evaluation of masks may stop at them',
)
BAD_CODE = Fault('error', 'run-length codes that cannot be read', "encode the masks again with pycocotools' encode")
OTHER_CODE = Fault(
    'error', 'run-length codes of another size than their image', 'encode the masks again at that size'
)
NO_PYCOCOTOOLS = Fault('warning', 'segmentations were not tried', 'python -m pip install pycocotools')


def mask_reader() -> ModuleType | None:
    """Return the module of pycocotools that reads segmentations, or None where it is not installed."""
    try:
        from pycocotools import mask
    except ImportError:
        return None
    return mask


def segmentation_findings(
    name: str, segmentation: Any, size: tuple[int, int], masks: ModuleType | None
) -> Iterator[Finding]:
    """Tell what is wrong with an object's outline in an image of (width, height); with `masks` it is tried."""
    if isinstance(segmentation, dict):
        yield from _code_findings(name, segmentation, size, masks)
    elif segmentation:
        yield from _polygon_findings(name, segmentation, size, masks)


def _polygon_findings(name: str, polygons: Any, size: tuple[int, int], masks: ModuleType | None) -> Iterator[Finding]:
    """Tell what is wrong with the polygons of an object."""
    if not isinstance(polygons, list) or not all(isinstance(polygon, list) for polygon in polygons):
        yield BAD_POLYGON, f'{name}: {polygons!r:.40} is no list of lists'
        return
    for polygon in polygons:
        if reason := _polygon_reason(polygon, size, masks):
            yield BAD_POLYGON, f'{name}: {reason}'
        elif len(polygon) < 6:
            yield SMALL_POLYGON, name


def _polygon_reason(polygon: list, size: tuple[int, int], masks: ModuleType | None) -> str:
    """Say why a polygon cannot be read; only sound ones reach pycocotools, which takes any memory for others."""
    if not all(isinstance(x, int | float) for x in polygon) or not np.isfinite(np.array(polygon, float)).all():
        return 'not all are finite numbers'
    if len(polygon) % 2 or not polygon:
        return f'{len(polygon)} numbers'
    if np.abs(polygon).max() > FAR * max(size):
        return f'coordinate {np.abs(polygon).max():g} in {size[0]} x {size[1]}'
    tried = masks is not None and len(polygon) >= 6
    return 'pycocotools refuses it' if tried and not _can(masks.frPyObjects, [polygon], *size[::-1]) else ''


def _code_findings(name: str, code: dict, size: tuple[int, int], masks: ModuleType | None) -> Iterator[Finding]:
    """Tell what is wrong with a run-length code."""
    if code.get('size') != [size[1], size[0]]:
        yield OTHER_CODE, f'{name}: {code.get("size")} for an image {size[1]} high and {size[0]} wide'
    elif not _is_code(code, size[0] * size[1], masks):
        yield BAD_CODE, name


def _is_code(code: dict, pixels: int, masks: ModuleType | None) -> bool:
    """Return whether a run-length code, plain or compressed, can be unfolded to so many pixels."""
    counts = code.get('counts')
    if isinstance(counts, list):
        return all(isinstance(x, int) and x >= 0 for x in counts) and sum(counts) == pixels
    tried = masks is not None and pixels <= LARGEST
    return isinstance(counts, str) and (not tried or _can(masks.decode, code))


def _can(read: Callable, *arguments: Any) -> bool:
    """Return whether pycocotools reads something."""
    try:
        read(*arguments)
    except Exception:  # its C code raises nothing more exact
        return False
    return True
