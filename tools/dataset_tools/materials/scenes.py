"""Scenes: a material that fills the image and names the scene, with up to two patches of other materials on it.

Lengths are fractions of the image's side.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from materials.labels import FINE, describe, index_mask
from materials.noise import PERIOD, Noise
from materials.surfaces import CLASSES, SURFACES

SMOOTH = 2  # surfaces are drawn this much finer than the image
FEATURES = (3.2, 5.6)  # minimum and maximum number of a surface's units along the image's side
LEVELED = 0.75  # share of a tone that is replaced by its rank, so that histograms do not reveal materials
CONTRAST = (0.25, 0.55)  # minimum and maximum difference in brightness between a surface's two colors
RADIUS = (0.11, 0.19)  # of patches
MIN_VISIBLE, MAX_COVERED = 0.5, 0.3  # shares: of each patch; of the image, by all patches together
MOST_PATCHES = 2
LUMA = np.float32([0.299, 0.587, 0.114])


@dataclass(frozen=True)
class Scene:
    """Image with its labels: RGB, uint8; the mask holds the index of each pixel's material."""

    main: str
    image: np.ndarray
    mask: np.ndarray
    objects: list[dict]


def _outline(rng: np.random.Generator) -> np.ndarray:
    """Draw a smooth closed outline, (64, 2)."""
    angles = np.linspace(0, 2 * math.pi, 64, endpoint=False)
    waves = rng.normal(0, 0.12, 3) * np.cos(np.arange(2, 5) * angles[:, None] + rng.uniform(0, 2 * math.pi, 3))
    radius, width = rng.uniform(*RADIUS) * (1 + waves.sum(1)), rng.uniform(0.75, 1.3)
    points = np.stack([radius * np.cos(angles) * width, radius * np.sin(angles) / width], 1)
    return points + rng.uniform(RADIUS[0], 1 - RADIUS[0], 2)


def _fill(canvas: np.ndarray, outline: np.ndarray, value: int) -> np.ndarray:
    """Fill an outline on a canvas, in place."""
    points = np.round((outline * len(canvas) - 0.5) * 16).astype(np.int32)
    return cv2.fillPoly(canvas, [points], value, shift=4)


def _arrange(rng: np.random.Generator, fine: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Draw outlines, none in half of the scenes; return them and the one, from 1, or 0, at each pixel, (fine, fine)."""
    outlines: list[np.ndarray] = []
    owners = np.zeros((fine, fine), np.uint8)
    for _ in range(int(rng.integers(1, MOST_PATCHES + 1)) if rng.random() < 0.5 else 0):
        more = [*outlines, _outline(rng)]
        trial = np.zeros_like(owners)
        for number, outline in enumerate(more, 1):
            _fill(trial, outline, number)
        own = [np.count_nonzero(_fill(np.zeros_like(owners), outline, 1)) for outline in more]
        shown = np.bincount(trial.ravel(), minlength=len(more) + 1)[1:]
        if (shown >= MIN_VISIBLE * np.array(own)).all() and shown.sum() <= MAX_COVERED * fine**2:
            outlines, owners = more, trial
    return outlines, owners


def _colors(rng: np.random.Generator) -> np.ndarray:
    """Draw two muted colors, a dark and a bright one: (2, 3) in [0, 1]."""
    hsv = rng.uniform((0, 0, 0.15), (360, 0.35, 0.95), (50, 2, 3)).astype(np.float32)
    pairs = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
    differences = np.diff(pairs @ LUMA, axis=1)[:, 0]
    return pairs[np.argmax((differences > CONTRAST[0]) & (differences < CONTRAST[1]))]


def _level(tone: np.ndarray, clouds: np.ndarray) -> np.ndarray:
    """Level the histogram of a tone, so that all are similar; clouds decide the order of nearly equal pixels."""
    rank = np.empty(tone.size, np.float32)
    rank[np.argsort((tone + 0.05 * clouds).ravel())] = np.linspace(0, 1, tone.size, dtype=np.float32)
    return LEVELED * rank.reshape(tone.shape) + (1 - LEVELED) * tone


def render(rng: np.random.Generator, name: str, size: int, box: tuple[int, int, int, int], light: float) -> np.ndarray:
    """Draw a material in a box (x, y, width, height) of pixels: (height, width, 3), RGB, from 0 to 1.

    Colors, scale, rotation and relief are drawn independently of the material; light comes from the angle `light`.
    """
    left, top, width, height = (side * SMOOTH for side in box)
    y, x = (np.mgrid[top : top + height, left : left + width].astype(np.float32) + 0.5) / (size * SMOOTH) - 0.5
    angle, scale, start = (
        rng.uniform(0, 2 * math.pi),
        math.exp(rng.uniform(*np.log(FEATURES))),
        rng.uniform(0, PERIOD, 2),
    )
    u = np.float32(scale) * (math.cos(angle) * x + math.sin(angle) * y) + np.float32(start[0])
    v = np.float32(scale) * (math.cos(angle) * y - math.sin(angle) * x) + np.float32(start[1])
    noise = Noise(rng)
    tone = np.clip(SURFACES[name](noise, u, v), 0, 1)
    slope = math.cos(light) * cv2.Sobel(tone, cv2.CV_32F, 1, 0) + math.sin(light) * cv2.Sobel(tone, cv2.CV_32F, 0, 1)
    tone = _level(tone, noise.smooth(u, v))
    tone = tone ** np.float32(rng.uniform(0.6, 1.6))
    dark, bright = _colors(rng)
    shade = 1 + rng.uniform(0.1, 0.3) * np.tanh(slope / 2)
    shade += rng.uniform(0, 0.4) * (math.cos(light) * x + math.sin(light) * y)
    image = (dark + tone[..., None] * (bright - dark)) * shade[..., None]
    return cv2.resize(image.astype(np.float32), (box[2], box[3]), interpolation=cv2.INTER_AREA)


def _lay(image: np.ndarray, outline: np.ndarray, name: str, rng: np.random.Generator, light: float) -> np.ndarray:
    """Lay a patch of a material on an image (size, size, 3), with a soft shadow."""
    size = len(image)
    fine = _fill(np.zeros((size * FINE, size * FINE), np.uint8), outline, 255)
    cover = cv2.resize(fine, (size, size), interpolation=cv2.INTER_AREA)[..., None] / np.float32(255)
    shift = np.float32([[1, 0, -0.03 * size * math.cos(light)], [0, 1, -0.03 * size * math.sin(light)]])
    shadow = cv2.GaussianBlur(cv2.warpAffine(cover, shift, (size, size)), (0, 0), 0.02 * size)[..., None]
    box = cv2.boundingRect((cover[..., 0] > 0).astype(np.uint8))
    inside = np.s_[box[1] : box[1] + box[3], box[0] : box[0] + box[2]]
    image = image * (1 - 0.4 * shadow)
    image[inside] += cover[inside] * (render(rng, name, size, box, light) - image[inside])
    return image


def draw_scene(seed: int, split: int, index: int, size: int) -> Scene:
    """Draw a scene, which depends on these four numbers only; its class is `index` modulo 14."""
    rng = np.random.default_rng(np.random.SeedSequence((seed, split, index)))
    main, light = CLASSES[index % len(CLASSES)], rng.uniform(0, 2 * math.pi)
    outlines, owners = _arrange(rng, size * FINE)
    others = [str(name) for name in rng.choice([name for name in CLASSES if name != main], len(outlines))]
    image = render(rng, main, size, (0, 0, size, size), light)
    for outline, name in zip(outlines, others, strict=True):
        image = _lay(image, outline, name, rng, light)
    image += rng.normal(0, 0.01, image.shape)
    objects = [describe(owners == number, name) for number, name in enumerate(others, 1)]
    mask = index_mask(owners, [main, *others], size)
    return Scene(main, np.round(np.clip(image, 0, 1) * 255).astype(np.uint8), mask, objects)
