"""Checks of images with classes: one folder a class, or a list of names and labels, as ImageNet and mmpretrain."""

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dataset_checks.faults import MISSING, NO_FOLDER, NO_IMAGES, OTHERS
from dataset_checks.files import Crew, extension, is_image
from dataset_checks.images import check_images
from mixmae_mm.datasets.decoding import MAX_PIXELS
from mixmae_mm.datasets.directory_walk import EXTENSIONS, class_folders, files_below
from mixmae_mm.engine.checks.classes import Classes, compare_splits
from mixmae_mm.engine.checks.lists import is_sound, list_lines, read_list
from mixmae_mm.engine.checks.report import Fault, Finding, Report

IMAGENET_NAME = re.compile(r'n\d{8}')
IMAGENET = {'train': 1_281_167, 'val': 50_000}
IMAGENET_CLASSES, NEARLY_ALL = 1000, 900  # from so many classes on a set is taken for the whole, with some lost

NO_CLASSES = Fault(
    'error',
    'images lie in one heap, without class folders',
    'sort them into one folder a class, named as in train (for ILSVRC2012 the script valprep.sh does it), or write '
    'meta/<split>.txt beside the folder with a line "name label" for each image',
)
NO_CLASS_IMAGES = Fault('error', 'class folders without images', 'unpack them, or delete the folders')
LOOSE = Fault('warning', 'images outside the class folders, which are not read', 'move them, or delete them')
UNREAD = Fault(
    'warning',
    "images that the config's dataset leaves out by their extension",
    'add it to `extensions` of the dataset',
)
HIDDEN = Fault(
    'warning', 'hidden folders, which are left out', "delete them, since mmpretrain's own tools take them for classes"
)


@dataclass(frozen=True)
class ClassSplit:
    """One folder a class, or a list of images and labels."""

    name: str
    folder: str
    ann_file: str = ''
    extensions: tuple[str, ...] = EXTENSIONS
    """Of the files that are read, in lower case."""
    max_pixels: int | None = MAX_PIXELS
    """As of `LoadImage`."""

    def check(self, report: Report, crew: Crew) -> None:
        """Count and open the images."""
        if not os.path.isdir(self.folder):
            report.add(self.name, [(NO_FOLDER, self.folder)])
            return
        report.add(self.name, self._findings())
        sizes = Counter() if self.ann_file else Counter(dict.fromkeys(class_folders(self.folder), 0))
        sizes.update(name for name, _ in self.images())
        smallest, largest = min(sizes.values(), default=0), max(sizes.values(), default=0)
        counts = dict(classes=len(sizes), images=sizes.total(), smallest_class=smallest, largest_class=largest)
        report.count('imagenet', self.name, **counts)
        report.add(self.name, imagenet_findings(self, sizes))
        check_images((path for _, path in self.images()), sizes.total(), self, report, crew)

    def _findings(self) -> Iterator[Finding]:
        """Tell what is wrong with names, without opening images."""
        if not self.ann_file:
            yield from folder_findings(self.folder, self.extensions)
        elif not os.path.isfile(self.ann_file):
            yield MISSING, self.ann_file

    def images(self) -> Iterator[tuple[str, str]]:
        """Return each image after its class: the folder's name, or the label in the list."""
        if self.ann_file:
            lines = filter(is_sound, list_lines(self.ann_file))
            yield from ((label, os.path.join(self.folder, name)) for name, label in lines)
            return
        for name in class_folders(self.folder):
            paths = files_below(os.path.join(self.folder, name))
            yield from ((name, path) for path in paths if extension(path) in self.extensions)


def folder_findings(folder: str, extensions: tuple[str, ...]) -> Iterator[Finding]:
    """Tell what is wrong with how images lie in class folders, without opening them."""
    names = class_folders(folder)
    with os.scandir(folder) as entries:
        others = sorted((entry.path, entry.is_dir()) for entry in entries if entry.name not in names)
    loose = [path for path, is_folder in others if is_image(path) and not is_folder]
    if not names:
        yield (NO_CLASSES, '') if loose else (NO_IMAGES, folder)
    yield from ((LOOSE, path) for path in loose if names)
    yield from ((HIDDEN, path) for path, is_folder in others if is_folder)
    for name in names:
        yield from _class_findings(os.path.join(folder, name), extensions)


def _class_findings(folder: str, extensions: tuple[str, ...]) -> Iterator[Finding]:
    """Tell which files of one class will not be read."""
    read = 0
    for path in files_below(folder):
        if extension(path) in extensions:
            read += 1
        else:
            yield UNREAD if is_image(path) else OTHERS, path
    if not read:
        yield NO_CLASS_IMAGES, folder


def imagenet_findings(split: ClassSplit, sizes: Counter[str]) -> Iterator[Finding]:
    """Compare what claims to be ImageNet-1k, by 1,000 classes or by their names, with what that has."""
    named = _are_of_imagenet(sizes)
    total = sizes.total()
    expected = IMAGENET.get(os.path.basename(os.path.normpath(split.folder)), total)
    if len(sizes) == IMAGENET_CLASSES and total != expected:
        what = f'{total:,} images in 1,000 classes, where ImageNet-1k has {expected:,}'
        severity = 'error' if named or split.ann_file else 'warning'
        yield Fault(severity, what, 'unpack the rest, if it is ImageNet-1k'), ''
    elif named and NEARLY_ALL <= len(sizes) < IMAGENET_CLASSES:
        what = f"{len(sizes):,} classes with ImageNet's names, where ImageNet-1k has {IMAGENET_CLASSES:,}"
        yield Fault('error', what, 'unpack the rest'), ''


def _are_of_imagenet(names: Sequence[str] | Counter[str]) -> bool:
    """Return whether all names are those that ImageNet gives to classes."""
    return bool(names) and all(map(IMAGENET_NAME.fullmatch, names))


def compare_classes(splits: Sequence[ClassSplit], report: Report) -> None:
    """Compare the class folders of all splits, and look through lists, as `check_config` does for a config."""
    folders = [Classes(split.name, tuple(class_folders(split.folder))) for split in splits if not split.ann_file]
    folders = [classes for classes in folders if classes.names]
    report.add(', '.join(classes.split for classes in folders), compare_splits(folders))
    for split in splits:
        report.add(split.name, read_list(split.ann_file)[1] if split.ann_file else ())


def find_classes(folder: str) -> list[ClassSplit]:
    """Find train/<class>/ and val/<class>/, or the lists in meta/; a folder of ImageNet's classes is itself a split."""
    splits = [name for name in ('train', 'val') if os.path.isdir(os.path.join(folder, name))]
    lists = {name: os.path.join(folder, 'meta', f'{name}.txt') for name in splits}
    lists = {name: path for name, path in lists.items() if os.path.isfile(path)}
    if lists or any(_holds_classes(os.path.join(folder, name)) for name in splits):
        return [ClassSplit(name, os.path.join(folder, name), lists.get(name, '')) for name in splits]
    if _are_of_imagenet(class_folders(folder)):
        return [ClassSplit(os.path.basename(os.path.abspath(folder)), folder)]
    return []


def _holds_classes(folder: str) -> bool:
    """Tell class folders from images beside their masks."""
    names = set(class_folders(folder))
    return bool(names) and not names <= {'images', 'masks', 'annotations', 'labels'}
