"""Checks of images beside index masks, as ADE20K and mmseg have them."""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from dataset_checks.faults import EMPTY, MISSING, NO_FOLDER, NO_IMAGES
from dataset_checks.files import SPLITS, Crew, Seen, images_below, look, reading_fault
from dataset_checks.mask_labels import Labels, count_labels
from dataset_checks.turning import size_findings
from mixmae_mm.datasets.directory_walk import files_below
from mixmae_mm.datasets.transforms.random_resized_crop import OPENCV_MOST
from mixmae_mm.engine.checks.report import Fault, Finding, Report

LAYOUTS = (
    ('images/{}', 'annotations/{}'),
    ('img_dir/{}', 'ann_dir/{}'),
    ('images/{}', 'masks/{}'),
    ('{}', 'masks/{}'),
    ('{}/images', '{}/masks'),
)
ADE, ADE_CLASSES = {'training': 20_210, 'validation': 2_000}, 150

NO_MASK = Fault('error', 'images without a mask', 'add the masks, or delete the images')
NO_IMAGE = Fault('warning', 'masks without an image, which are not read', 'nothing, or add the images')
OTHER_EXTENSIONS = Fault(
    'warning', 'images with another extension than img_suffix, which are not read', 'rename or convert'
)
LOSSY = Fault('error', 'masks are JPEG files, whose labels are blurred', 'make them again as PNG')
NOT_INDEX = Fault(
    'error',
    'masks that are no index images of one channel',
    "replace each color by its class's number and save with one channel (Pillow modes L or P); where the three "
    'channels are equal, keep one',
)
MASK_SIZE = Fault(
    'error', 'masks of another size than their image', 'resize them with nearest neighbors, or redo them'
)


@dataclass(frozen=True)
class MaskSplit:
    """Images and index masks of the same names in two folders, as mmseg's BaseSegDataset reads them."""

    name: str
    folder: str
    masks: str
    img_suffix: str = '.jpg'
    mask_suffix: str = '.png'
    labels: Labels = Labels()
    ann_file: str = ''
    is_ade: bool = False
    turns: bool = True
    """Whether images, but not masks, are turned by their EXIF orientation when they are read."""

    def check(self, report: Report, crew: Crew) -> None:
        """Count, then compare each image with its mask."""
        absent = [(NO_FOLDER, path) for path in (self.folder, self.masks) if not os.path.isdir(path)]
        absent += [(MISSING, self.ann_file)] if self.ann_file and not os.path.isfile(self.ann_file) else []
        report.add(self.name, absent)
        if absent:
            return
        total, masks = sum(1 for _ in self.pairs()), sum(1 for _ in self.mask_files())
        report.add(self.name, self.name_findings(total))
        pixels = Counter()
        work = partial(_look_at_pair, labels=self.labels, quick=crew.quick, turns=self.turns)
        for findings, found in crew.run(work, self.pairs(), total, f'{self.name}: masks'):
            report.add(self.name, findings)
            pixels += found
        report.add(self.name, self.labels.findings(pixels))
        report.count('ade20k', self.name, images=total, masks=masks, **self.labels.summary(pixels))

    def pairs(self) -> Iterator[tuple[str, str]]:
        """Return each image and where its mask should be."""
        if self.ann_file:
            names = map(str.strip, Path(self.ann_file).read_text(encoding='utf-8').split('\n'))
            stems = (os.path.join(self.folder, name) for name in names if name)
        else:
            found = (path for path in files_below(self.folder) if path.endswith(self.img_suffix))
            stems = (path.removesuffix(self.img_suffix) for path in found)
        for stem in stems:
            mask = os.path.join(self.masks, os.path.relpath(stem, self.folder) + self.mask_suffix)
            yield stem + self.img_suffix, mask

    def mask_files(self) -> Iterator[str]:
        """List the masks."""
        return (path for path in files_below(self.masks) if path.endswith(self.mask_suffix))

    def name_findings(self, images: int) -> Iterator[Finding]:
        """Tell what the names and numbers of files show."""
        if not images:
            yield NO_IMAGES, os.path.join(self.folder, f'*{self.img_suffix}')
        if self.mask_suffix.lower().endswith(('.jpg', '.jpeg')):
            yield LOSSY, ''
        if not self.ann_file:
            read = (self.img_suffix, self.mask_suffix) if self.masks == self.folder else self.img_suffix
            yield from ((OTHER_EXTENSIONS, path) for path in images_below(self.folder) if not path.endswith(read))
            yield from ((NO_IMAGE, path) for path in self.mask_files() if not os.path.isfile(self._image(path)))
        expected = ADE.get(os.path.basename(os.path.normpath(self.folder)), images)
        if self.is_ade and images != expected:
            what = f'{images:,} images, where ADE20K has {expected:,}'
            yield Fault('error', what, 'unpack it again; for a set of your own give --classes'), ''

    def _image(self, mask: str) -> str:
        """Tell where a mask's image should be."""
        stem = os.path.relpath(mask, self.masks).removesuffix(self.mask_suffix)
        return os.path.join(self.folder, stem + self.img_suffix)


def _look_at_pair(
    pair: tuple[str, str], labels: Labels, quick: bool, turns: bool
) -> tuple[list[Finding], Counter[int]]:
    """Open an image and its mask: what is wrong, and how many pixels have which label."""
    image, mask = pair
    seen, findings = look(image, quick, OPENCV_MOST)
    if not os.path.isfile(mask):
        return [*findings, (NO_MASK, image)], Counter()
    if not os.path.getsize(mask):
        return [*findings, (EMPTY, mask)], Counter()
    try:
        with Image.open(mask) as opened:
            findings += _size_findings(opened.size, pair, seen, turns) if seen else []
            findings += [] if _is_index(opened) else [(NOT_INDEX, f'{mask}: {opened.mode}')]
            pixels = Counter() if quick or not _is_index(opened) else count_labels(np.asarray(opened))
    except Exception as error:  # broken bytes make Pillow and its plug-ins raise nearly anything
        return [*findings, (reading_fault(error), f'{mask}: {error}')], Counter()
    if strange := sorted(label for label in pixels if not labels.allows(label)):
        findings.append((labels.fault(), f'{mask}: {", ".join(map(str, strange[:5]))}'))
    return findings, pixels


def _size_findings(size: tuple[int, int], pair: tuple[str, str], seen: Seen, turns: bool) -> Iterator[Finding]:
    """Tell what is wrong with a mask's size."""
    image, mask = pair
    read = seen.upright if turns else seen.stored
    other = MASK_SIZE, f'{mask}: {size[0]} x {size[1]}, the image {read[0]} x {read[1]}'
    return size_findings(image, seen, size, turns, other)


def _is_index(mask: Image.Image) -> bool:
    """Return whether a mask has one whole number a pixel."""
    return len(mask.getbands()) == 1 and mask.mode != 'F'


def find_masks(folder: str, classes: int = 0) -> list[MaskSplit]:
    """Find images beside masks where they usually lie."""
    splits = []
    for images, masks in LAYOUTS:
        for name in SPLITS:
            paths = [os.path.join(folder, part.format(name)) for part in (images, masks)]
            if all(os.path.isdir(path) and any(images_below(path)) for path in paths):
                is_ade = masks == 'annotations/{}' and name in ADE and not classes
                labels = Labels(ADE_CLASSES, zero_is_none=True) if is_ade else Labels(classes)
                splits.append(MaskSplit(name, *paths, *map(_usual_extension, paths), labels, is_ade=is_ade))
    return splits


def _usual_extension(folder: str) -> str:
    """Tell how most images of a folder end."""
    return Counter(os.path.splitext(path)[1] for path in images_below(folder)).most_common(1)[0][0]
