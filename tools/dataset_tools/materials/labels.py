"""Labels of a scene: its index mask, and its objects in COCO format."""

import itertools

import cv2
import numpy as np

from materials.surfaces import CLASSES

FINE = 4  # outlines are drawn this much finer than the image


def index_mask(owners: np.ndarray, names: list[str], size: int) -> np.ndarray:
    """Return the class that covers most of each pixel, (size, size); `owners` are indices into `names` on a finer grid.

    With 16 fine pixels per pixel, ties are common: the one at the center breaks them, so that no side always wins.
    """
    shown = [(owners == number).astype(np.float32) for number in range(len(names))]
    shares = np.stack([cv2.resize(one, (size, size), interpolation=cv2.INTER_AREA) for one in shown])
    shares += 0.01 * (owners[FINE // 2 :: FINE, FINE // 2 :: FINE] == np.arange(len(shown))[:, None, None])
    return np.array([CLASSES.index(name) for name in names], np.uint8)[shares.argmax(0)]


def _trace(region: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Trace a region along the edges of its pixels: bool (H, W) -> outer contours and holes, arrays (P, 2) of points.

    OpenCV traces pixel centers, which would make every outline half a pixel too small. So pixels are doubled and grown
    by one to the right and below: pixel i then extends from 2i to 2i + 2, and halving these numbers gives its edges.
    """
    doubled = cv2.resize(region.astype(np.uint8), None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)
    doubled = cv2.copyMakeBorder(doubled, 0, 1, 0, 1, cv2.BORDER_CONSTANT)
    grown = cv2.dilate(doubled, np.ones((2, 2), np.uint8), anchor=(1, 1))
    contours, tree = cv2.findContours(grown, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    contours = [contour.reshape(-1, 2).astype(np.float32) / 2 for contour in contours]
    inner = [node[3] >= 0 for node in tree[0]] if contours else []
    return [c for c, hole in zip(contours, inner, strict=True) if not hole], list(itertools.compress(contours, inner))


def outline_polygons(region: np.ndarray) -> list[np.ndarray]:
    """Cover a region by polygons: bool (H, W) -> arrays (P, 2), in pixels from the image's upper left corner.

    COCO polygons cannot have holes, but a patch has one if a smaller patch lies in its middle. So a region with holes
    is cut in two through the largest one, until no piece has any.
    """
    outer, holes = _trace(region)
    if not holes:
        return outer
    largest = max(holes, key=cv2.contourArea)[:, 0]
    cut = round(float(largest.min() + largest.max()) / 2)
    left, right = region.copy(), region.copy()
    left[:, cut:] = right[:, :cut] = False
    return outline_polygons(left) + outline_polygons(right)


def describe(region: np.ndarray, name: str) -> dict:
    """Describe the visible part of an object in COCO format, in pixels of the image; `region` is a fine bool mask."""
    x, y, width, height = cv2.boundingRect(region.astype(np.uint8))
    pieces = outline_polygons(region[y : y + height, x : x + width])
    simple = [cv2.approxPolyDP(points, 0.75, True).reshape(-1, 2).astype(float) + (x, y) for points in pieces]
    polygons = [np.round(points / FINE, 2) for points in simple if len(points) > 2]
    polygons = [points for points in polygons if cv2.contourArea(np.float32(points)) >= 0.5] or polygons
    corners = np.concatenate(polygons)
    low, extent = corners.min(0), np.ptp(corners, 0)
    return dict(
        category_id=CLASSES.index(name) + 1,
        segmentation=[points.ravel().tolist() for points in polygons],
        area=round(sum(cv2.contourArea(np.float32(points)) for points in polygons), 2),
        bbox=np.round([*low, *extent], 2).tolist(),
        iscrowd=0,
    )
