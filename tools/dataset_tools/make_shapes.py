"""Make the built-in image set: scenes of overlapping shapes, so that every task can be tried with nothing downloaded.

Each scene has a textured background and 1 to 5 objects of ten classes. Exactly one, the main object, is clearly the
largest thing to be seen; it names the scene. Colors, positions and sizes are drawn without regard to the class, and
all shapes of one size have the same area, so only the outline tells the classes apart.

    python tools/dataset_tools/make_shapes.py data/shapes
    python tools/dataset_tools/make_shapes.py data/shapes224 --size 224 --train 1000 --val 200

It is read by three libraries:

    train/<class>/000001.jpg   val/<class>/...      mmpretrain.CustomDataset, torchvision's ImageFolder
    annotations/instances_{train,val}.json          mmdet.CocoDataset (categories 1 to 10, in alphabetical order)
    masks/{train,val}/<class>/000001.png            mmseg.BaseSegDataset (0 background, 1 to 10 the categories)

The same seed gives the same bytes, whatever the number of workers. Lengths are fractions of the image's side.
"""

import argparse
import itertools
import json
import math
import multiprocessing
import os
import shutil
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from rich.progress import track

CLASSES = ('arrow', 'circle', 'crescent', 'cross', 'heart', 'pentagon', 'ring', 'square', 'star', 'triangle')
SPLITS = ('train', 'val')
GENERATOR = 2  # to be raised whenever the images change, so that an older set is not taken for a present one
FINE = 4  # outlines are drawn this much finer than the image
MAIN_SIDE, MINOR_SIDE = (0.34, 0.50), (0.15, 0.28)  # of the square of equal area
MAIN_CENTRE, MINOR_CENTRE = (0.30, 0.70), (0.06, 0.94)
MIN_VISIBLE, MIN_SHOWN = 0.006, 0.3  # of the image, of the object itself: one that shows less is not drawn at all
MAIN_VISIBLE = 0.7  # of the main object's own part of the image, that others may not occlude
MAIN_LEAD = 1.5  # how many times the next largest visible area


# -- outlines


def _arc(start: float, stop: float, radius: float = 1.0, center: float = 0.0, points: int = 48) -> np.ndarray:
    """Sample an arc around (center, 0), angles in radians, ends included: (points, 2)."""
    angle = np.linspace(start, stop, points)
    return np.stack([center + radius * np.cos(angle), radius * np.sin(angle)], 1)


def _regular(corners: int, radii: tuple[float, ...] = (1.0,)) -> np.ndarray:
    """Put corners evenly round the origin, their distances taken from `radii` in turn: (corners, 2)."""
    angle = np.arange(corners) * 2 * math.pi / corners - math.pi / 2
    return np.resize(radii, corners)[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)


def _crescent(radius: float = 0.86, shift: float = 0.48) -> np.ndarray:
    """Cut a circle of the given radius, shifted to the right, out of the unit circle."""
    x = (1 - radius**2 + shift**2) / (2 * shift)
    outer, inner = math.acos(x), math.atan2(math.sqrt(1 - x**2), x - shift)
    return np.concatenate([_arc(outer, 2 * math.pi - outer), _arc(2 * math.pi - inner, inner, radius, shift)])


def _heart() -> np.ndarray:
    """Sample the well-known heart curve, tip down: (64, 2)."""
    t = np.linspace(0, 2 * math.pi, 64, endpoint=False)
    y = -13 * np.cos(t) + 5 * np.cos(2 * t) + 2 * np.cos(3 * t) + np.cos(4 * t)
    return np.stack([16 * np.sin(t) ** 3, y], 1)


def _moments(contours: list[np.ndarray]) -> tuple[float, np.ndarray]:
    """Compute signed area and centroid of contours; a hole runs the other way round."""
    area, first = 0.0, np.zeros(2)
    for here in contours:
        ahead = np.roll(here, -1, 0)
        cross = here[:, 0] * ahead[:, 1] - ahead[:, 0] * here[:, 1]
        area += cross.sum() / 2
        first += ((here + ahead) * cross[:, None]).sum(0) / 6
    return area, first / area


def _standard(*contours: Iterable) -> list[np.ndarray]:
    """Move the centroid to the origin and scale to area 1, so that size and place are independent of the class."""
    contours = [np.asarray(contour, float) for contour in contours]
    area, center = _moments(contours)
    return [(contour - center) / math.sqrt(abs(area)) for contour in contours]


CROSS = [(1, 3), (1, 1), (3, 1), (3, -1), (1, -1), (1, -3), (-1, -3), (-1, -1), (-3, -1), (-3, 1), (-1, 1), (-1, 3)]
ARROW = [(0, -6), (5, 0), (2, 0), (2, 6), (-2, 6), (-2, 0), (-5, 0)]
OUTLINES = {
    'arrow': _standard(ARROW),
    'circle': _standard(_regular(64)),
    'crescent': _standard(_crescent()),
    'cross': _standard(CROSS),
    'heart': _standard(_heart()),
    'pentagon': _standard(_regular(5)),
    'ring': _standard(_regular(64), _regular(64)[::-1] * 0.58),
    'square': _standard(_regular(4)),
    'star': _standard(_regular(10, (1.0, 0.42))),
    'triangle': _standard(_regular(3)),
}


# -- colors and textures


def _color(rng: np.random.Generator, avoid: Iterable[np.ndarray] = ()) -> np.ndarray:
    """Draw an RGB color in [0, 1], far from those to avoid where twelve tries allow it."""
    hsv = rng.uniform((0, 0.2, 0.25), (360, 1, 1), (1, 12, 3)).astype(np.float32)
    tries = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0]
    distance = np.min([np.linalg.norm(tries - other, axis=1) for other in avoid] or [np.ones(12)], 0)
    return tries[np.argmax(np.minimum(distance, 0.55))]


def _noise(rng: np.random.Generator, size: int, cells: int) -> np.ndarray:
    """Draw smooth noise with about `cells` bumps a side, in [0, 1]: (size, size)."""
    grid = rng.random((cells + 3, cells + 3), np.float32)
    step = size / cells
    pixels = cv2.resize(grid, None, fx=step, fy=step, interpolation=cv2.INTER_CUBIC)
    start = int(step)
    return np.clip(pixels[start : start + size, start : start + size], 0, 1)


def _sharp(wave: np.ndarray, cycles: float) -> np.ndarray:
    """Turn a wave into two flat tones with an edge of about one pixel."""
    return np.clip(0.5 + wave * len(wave) / (2 * math.pi * cycles), 0, 1)


def _field(rng: np.random.Generator, size: int, kind: str) -> np.ndarray:
    """Draw a pattern of the given kind, in [0, 1]: (size, size)."""
    y, x = (np.mgrid[:size, :size].astype(np.float32) + 0.5) / size - 0.5
    angle, cycles, (shift_x, shift_y) = rng.uniform(0, 2 * math.pi), rng.uniform(2, 7), rng.uniform(-0.5, 0.5, 2)
    along = math.cos(angle) * x + math.sin(angle) * y + shift_x
    across = math.cos(angle) * y - math.sin(angle) * x + shift_y
    turn, side = 2 * math.pi * cycles * along, 2 * math.pi * cycles * across
    if kind == 'noise':
        return _noise(rng, size, int(rng.integers(2, 13)))
    if kind == 'blobs':
        return np.clip(0.5 + 8 * (_noise(rng, size, int(rng.integers(3, 9))) - 0.5), 0, 1)
    if kind == 'ripples':
        return 0.5 + 0.5 * np.sin(2 * math.pi * cycles * np.hypot(x + shift_x, y + shift_y))
    return {
        'gradient': lambda: np.clip(0.5 + along - shift_x, 0, 1),
        'stripes': lambda: _sharp(np.sin(turn), cycles),
        'waves': lambda: 0.5 + 0.5 * np.sin(turn + 0.8 * np.sin(side)),
        'checker': lambda: _sharp(np.sin(turn) * np.sin(side), cycles),
        'dots': lambda: _sharp(np.cos(turn) * np.cos(side) - 0.5, cycles),
    }[kind]()


KINDS = ('noise', 'blobs', 'ripples', 'gradient', 'stripes', 'waves', 'checker', 'dots')


def _texture(rng: np.random.Generator, size: int, one: np.ndarray, other: np.ndarray, kind: str) -> np.ndarray:
    """Draw a pattern between two colors: (size, size, 3) in [0, 1]."""
    share = _field(rng, size, kind)[..., None]
    return (one + share * (other - one)).astype(np.float32)


def _background(rng: np.random.Generator, size: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """Draw a background of two colors with a slow change of light over it, and return the colors."""
    one = _color(rng)
    other = one + rng.uniform(0.15, 0.6) * (_color(rng, [one]) - one)
    light = 0.8 + 0.35 * _noise(rng, size, 2)[..., None]
    return _texture(rng, size, one, other, str(rng.choice(KINDS))) * light, [one, other]


# -- scenes


@dataclass(frozen=True, eq=False)
class Thing:
    """One object: its class and its outline in the image."""

    name: str
    contours: list[np.ndarray]


@dataclass(frozen=True)
class Scene:
    """One image with its labels; everything is RGB and uint8."""

    main: str
    image: np.ndarray
    mask: np.ndarray
    objects: list[dict]


def _thing(rng: np.random.Generator, name: str, side: tuple[float, float], center: tuple[float, float]) -> Thing:
    """Draw size, place and rotation of an object: none of them depends on its class."""
    scale, place, angle = rng.uniform(*side), rng.uniform(*center, 2), rng.uniform(0, 2 * math.pi)
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    return Thing(name, [place + scale * contour @ turn for contour in OUTLINES[name]])


def _fill(canvas: np.ndarray, thing: Thing, value: int) -> None:
    """Fill the outline (holes left out) on a fine canvas, in place."""
    points = [np.round((contour * len(canvas) - 0.5) * 16).astype(np.int32) for contour in thing.contours]
    cv2.fillPoly(canvas, points, value, shift=4)


def _owners(things: list[Thing], fine: int) -> np.ndarray:
    """Return which object each fine pixel shows, later ones on top: 0 for none, i + 1 for things[i]."""
    owners = np.zeros((fine, fine), np.uint8)
    for number, thing in enumerate(things, 1):
        _fill(owners, thing, number)
    return owners


def _shares(things: list[Thing], fine: int) -> np.ndarray:
    """Return the share of the image in which each object is visible."""
    counts = cv2.calcHist([_owners(things, fine)], [0], None, [len(things) + 1], [0, len(things) + 1])
    return counts.ravel()[1:] / fine**2


def _leads(things: list[Thing], main: Thing, fine: int) -> bool:
    """Return whether the main object is hardly occluded and clearly the largest visible one."""
    shares = _shares(things, fine)
    others = [share for thing, share in zip(things, shares, strict=True) if thing is not main]
    own = shares[things.index(main)]
    return own >= max(MAIN_VISIBLE * _shares([main], fine)[0], MAIN_LEAD * max(others, default=0))


def _arrange(rng: np.random.Generator, main: Thing, fine: int) -> list[Thing]:
    """Put up to four smaller objects round, above and below the main one, bottom first.

    Only the others are drawn again until the main one leads: its own size and place must stay independent of its class.
    """
    count = int(rng.integers(0, 5))
    for _ in range(50):
        others = [_thing(rng, str(rng.choice(CLASSES)), MINOR_SIDE, MINOR_CENTRE) for _ in range(count)]
        things = others[: (place := int(rng.integers(0, count + 1)))] + [main] + others[place:]
        shares = _shares(things, fine)
        least = [max(MIN_VISIBLE, MIN_SHOWN * abs(_moments(thing.contours)[0])) for thing in things]
        things = [x for x, share, low in zip(things, shares, least, strict=True) if share >= low or x is main]
        if _leads(things, main, fine):
            return things
    return [main]


def _cover(thing: Thing, size: int, rim: int = 0) -> np.ndarray:
    """Return how much of each pixel an object covers, less a rim of so many fine pixels: (size, size, 1) in [0, 1]."""
    canvas = np.zeros((size * FINE, size * FINE), np.uint8)
    _fill(canvas, thing, 255)
    if rim:
        canvas = cv2.erode(canvas, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * rim + 1, 2 * rim + 1)))
    return cv2.resize(canvas, (size, size), interpolation=cv2.INTER_AREA)[..., None] / np.float32(255)


def _shade(image: np.ndarray, cover: np.ndarray, strength: float) -> np.ndarray:
    """Darken the image by a soft shadow that falls to the lower right."""
    size = len(image)
    shifted = cv2.warpAffine(cover[..., 0], np.float32([[1, 0, 0.02 * size], [0, 1, 0.03 * size]]), (size, size))
    return image * (1 - strength * cv2.GaussianBlur(shifted, (0, 0), 0.02 * size)[..., None])


def _dress(rng: np.random.Generator, size: int, color: np.ndarray) -> np.ndarray:
    """Draw the inside of an object: half of them plain or shaded, half patterned, in tones of one color."""
    tone = np.clip(color * rng.uniform(0.75, 0.9) + rng.choice([0, 0.15]), 0, 1)
    kind = 'gradient' if rng.random() < 0.5 else str(rng.choice(KINDS))
    return _texture(rng, size, color, tone, kind)


def _paint(rng: np.random.Generator, things: list[Thing], size: int) -> np.ndarray:
    """Paint the scene: (size, size, 3), RGB."""
    image, colors = _background(rng, size)
    shadow = rng.choice([0, 0.35, 0.5])
    for thing in things:
        colors.append(_color(rng, colors))
        inside, rim = _dress(rng, size, colors[-1]), colors[-1] * rng.uniform(0.3, 0.6)
        cover = _cover(thing, size)
        image = _shade(image, cover, shadow)
        if rng.random() < 0.3:
            image += cover * (rim - image)
            cover = _cover(thing, size, round(0.012 * size * FINE))
        image += cover * (inside - image)
    image += rng.normal(0, rng.uniform(0, 0.02), (size, size, 1))
    return np.round(np.clip(image, 0, 1) * 255).astype(np.uint8)


def draw_scene(seed: int, split: int, index: int, size: int) -> Scene:
    """Draw one scene; it depends on these four numbers and on nothing else. The main class is `index` modulo ten."""
    rng = np.random.default_rng(np.random.SeedSequence((seed, split, index)))
    main = _thing(rng, CLASSES[index % len(CLASSES)], MAIN_SIDE, MAIN_CENTRE)
    things = _arrange(rng, main, size * FINE)
    owners = _owners(things, size * FINE)
    objects = [describe(owners == number, thing.name) for number, thing in enumerate(things, 1)]
    return Scene(main.name, _paint(rng, things, size), _index_mask(owners, things, size), objects)


# -- annotations


def _index_mask(owners: np.ndarray, things: list[Thing], size: int) -> np.ndarray:
    """Return each pixel the category that covers most of it: (size, size), 0 for background.

    With 16 fine pixels to one, ties are common: the one at the center decides them, so that no side always wins.
    """
    shown = [(owners == number).astype(np.float32) for number in range(len(things) + 1)]
    shares = np.stack([cv2.resize(one, (size, size), interpolation=cv2.INTER_AREA) for one in shown])
    shares += 0.01 * (owners[FINE // 2 :: FINE, FINE // 2 :: FINE] == np.arange(len(shown))[:, None, None])
    categories = np.array([0] + [CLASSES.index(thing.name) + 1 for thing in things], np.uint8)
    return categories[shares.argmax(0)]


def _trace(region: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Follow the edges of a region's pixels: bool (H, W) -> outer contours and holes, arrays (P, 2) of edges.

    OpenCV runs through pixel centers, which would make every outline half a pixel too small. So pixels are doubled and
    grown by one to the right and below: then pixel i lies from 2i to 2i + 2, and half of that is where its edges are.
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

    COCO's polygons know no holes, and rings have one, as has whatever shows a smaller object in its middle. So a region
    with a hole is cut in two through the hole, until no piece has any.
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
    """Describe the visible part of an object as COCO does, in pixels of the image; `region` is a fine bool mask."""
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


# -- the set on disk


@dataclass(frozen=True)
class Settings:
    """All that decides what the set looks like.

    Raises:
        ValueError: fewer than one image a class, or images too small or too large to draw.
    """

    train: int = 3000
    val: int = 600
    size: int = 64
    seed: int = 0
    generator: int = GENERATOR

    def __post_init__(self) -> None:
        """Check the numbers before anything is written."""
        if min(self.train, self.val) < len(CLASSES) or not 32 <= self.size <= 1024 or self.seed < 0:
            raise ValueError(
                f'train {self.train}, val {self.val}, size {self.size}, seed {self.seed}: needed are at least '
                f'{len(CLASSES)} images in each split, a size of 32 to 1024 px and a seed of at least 0'
            )


def _palette() -> list[int]:
    """Return the colors in which viewers show the index masks: black, then ten hues."""
    hues = np.float32([[(36 * i, 0.75, 0.95) for i in range(len(CLASSES))]])
    return [0, 0, 0, *np.round(cv2.cvtColor(hues, cv2.COLOR_HSV2RGB) * 255).astype(int).ravel().tolist()]


def _write_scene(job: tuple[int, int], out: Path, settings: Settings) -> tuple[str, list[dict]]:
    """Draw scene (split, index) and write image and mask; return the image's name and its objects."""
    cv2.setNumThreads(0)  # one thread a worker: the workers share the cores already
    split, index = job
    scene = draw_scene(settings.seed, split, index, settings.size)
    name = f'{scene.main}/{index + 1:06d}'
    Image.fromarray(scene.image).save(out / SPLITS[split] / f'{name}.jpg', quality=95, subsampling=0)
    mask = Image.fromarray(scene.mask)
    mask.putpalette(_palette())
    mask.save(out / 'masks' / SPLITS[split] / f'{name}.png')
    return f'{name}.jpg', scene.objects


def _coco(scenes: list[tuple[str, list[dict]]], size: int) -> dict:
    """Return the scenes of one split as COCO instances."""
    images = [dict(id=i, file_name=name, width=size, height=size) for i, (name, _) in enumerate(scenes, 1)]
    objects = [(i, one) for i, (_, found) in enumerate(scenes, 1) for one in found]
    return dict(
        info=dict(description='shapes made by make_shapes.py'),
        images=images,
        annotations=[dict(id=number, image_id=i, **one) for number, (i, one) in enumerate(objects, 1)],
        categories=[dict(id=i, name=name, supercategory='shape') for i, name in enumerate(CLASSES, 1)],
    )


def make_shapes(out: str | Path, settings: Settings, workers: int = 1) -> bool:
    """Write the set, unless the same one is there already; return whether anything was written.

    It is made beside the folder and moved there once it is complete.

    Raises:
        ValueError: the folder holds other things; nothing has been written then.
    """
    out = Path(out)
    complete = out / 'complete.json'
    if complete.is_file() and json.loads(complete.read_text()) == asdict(settings):
        return False
    if out.is_file() or (out.exists() and any(out.iterdir())):
        made = f', a set made with {complete.read_text()}' if complete.is_file() else ''
        raise ValueError(f'{out} holds other things{made}: a new or empty folder is needed')
    making = out.with_name(f'.{out.name}.making')
    shutil.rmtree(making, ignore_errors=True)
    for base, split, name in itertools.product(('', 'masks'), SPLITS, CLASSES):
        (making / base / split / name).mkdir(parents=True)
    (making / 'annotations').mkdir()
    jobs = [(split, index) for split, name in enumerate(SPLITS) for index in range(getattr(settings, name))]
    with multiprocessing.Pool(workers) as pool:
        written = pool.imap(partial(_write_scene, out=making, settings=settings), jobs, chunksize=16)
        scenes = list(track(written, 'drawing shapes', len(jobs)))
    for split, part in zip(SPLITS, (scenes[: settings.train], scenes[settings.train :]), strict=True):
        (making / 'annotations' / f'instances_{split}.json').write_text(json.dumps(_coco(part, settings.size)))
    (making / complete.name).write_text(json.dumps(asdict(settings)))
    making.replace(out)
    return True


def main(arguments: list[str] | None = None) -> None:
    """Run from the command line; a mistake in the arguments ends it with one line."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('out', type=Path, help='folder to make')
    for name, default in (('train', 3000), ('val', 600), ('size', 64), ('seed', 0), ('workers', os.cpu_count())):
        parser.add_argument(f'--{name}', type=int, default=default, help='(%(default)s)')
    args = parser.parse_args(arguments)
    try:
        made = make_shapes(args.out, Settings(args.train, args.val, args.size, args.seed), args.workers)
    except (ValueError, OSError) as error:
        raise SystemExit(f'make_shapes: {error}') from error
    print(f'{args.out}: {args.train} + {args.val} scenes, {"made" if made else "already there"}')


if __name__ == '__main__':
    main()
