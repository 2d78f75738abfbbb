"""Scenes of overlapping shapes, the largest of which, the main object, names the scene.

Lengths are fractions of the image's side.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from shapes.labels import FINE, describe, index_mask
from shapes.outlines import CLASSES, OUTLINES, Thing, moments
from shapes.textures import KINDS, background, color, texture

MAIN_SIDE, MINOR_SIDE = (0.34, 0.50), (0.15, 0.28)  # of the square of equal area
MAIN_CENTER, MINOR_CENTER = (0.30, 0.70), (0.06, 0.94)
MIN_VISIBLE, MIN_SHOWN = 0.006, 0.3  # of the image, of the object itself: one that shows less is not drawn at all
MAIN_VISIBLE = 0.7  # of the main object's own part of the image, that others may not occlude
MAIN_LEAD = 1.5  # how many times the next largest visible area


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
        others = [_thing(rng, str(rng.choice(CLASSES)), MINOR_SIDE, MINOR_CENTER) for _ in range(count)]
        things = others[: (place := int(rng.integers(0, count + 1)))] + [main] + others[place:]
        shares = _shares(things, fine)
        least = [max(MIN_VISIBLE, MIN_SHOWN * abs(moments(thing.contours)[0])) for thing in things]
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


def _dress(rng: np.random.Generator, size: int, main: np.ndarray) -> np.ndarray:
    """Draw the inside of an object: half of them plain or shaded, half patterned, in tones of one main color."""
    tone = np.clip(main * rng.uniform(0.75, 0.9) + rng.choice([0, 0.15]), 0, 1)
    kind = 'gradient' if rng.random() < 0.5 else str(rng.choice(KINDS))
    return texture(rng, size, main, tone, kind)


def _paint(rng: np.random.Generator, things: list[Thing], size: int) -> np.ndarray:
    """Paint the scene: (size, size, 3), RGB."""
    image, colors = background(rng, size)
    shadow = rng.choice([0, 0.35, 0.5])
    for thing in things:
        colors.append(color(rng, colors))
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
    main = _thing(rng, CLASSES[index % len(CLASSES)], MAIN_SIDE, MAIN_CENTER)
    things = _arrange(rng, main, size * FINE)
    owners = _owners(things, size * FINE)
    objects = [describe(owners == number, thing.name) for number, thing in enumerate(things, 1)]
    return Scene(main.name, _paint(rng, things, size), index_mask(owners, things, size), objects)
