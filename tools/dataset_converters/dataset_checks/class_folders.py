"""Checks of pictures with classes: one folder a class, or a list of names and labels, as ImageNet and mmpretrain."""

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dataset_checks.faults import MISSING, NO_FOLDER, NO_PICTURES, OTHERS
from dataset_checks.files import Crew, ending, is_picture
from dataset_checks.pictures import check_pictures
from mixmae_mm.checks.report import Fault, Finding, Report
from mixmae_mm.datasets.walking import files_below

CLASS_ENDINGS = ('.jpg', '.jpeg', '.png', '.ppm', '.bmp', '.pgm', '.tif')  # what mmpretrain's datasets read
IMAGENET_NAME = re.compile(r'n\d{8}')
IMAGENET = {'train': 1_281_167, 'val': 50_000}
IMAGENET_CLASSES, NEARLY_ALL = 1000, 900  # from so many classes on a set is taken for the whole, with some lost

NO_CLASSES = Fault(
    'error',
    'pictures lie in one heap, without class folders',
    'sort them into one folder a class, named as in train (for ILSVRC2012 the script valprep.sh does it), or write '
    'meta/<split>.txt beside the folder with a line "name label" for each picture',
)
NO_CLASS_PICTURES = Fault('error', 'class folders without pictures', 'unpack them, or delete the folders')
HIDDEN_CLASSES = Fault('error', 'hidden folders, which mmpretrain takes for classes', 'delete them')
LOOSE = Fault('warning', 'pictures outside the class folders, which are not read', 'move them, or delete them')
UNREAD = Fault('warning', 'pictures that mmpretrain leaves out by their ending', 'save them as .jpg or .png')
OTHER_CLASSES = Fault(
    'error',
    'class folders that are not in all splits',
    'classes are numbered by their place in the alphabet, so each split needs the same folders: add or delete',
)
BAD_LINES = Fault('error', 'lines of the list without a label', 'write "name label", the label a number from 0 on')
TOO_LARGE = Fault(
    'error', "labels that are not below the config's number of classes", 'correct the list, or metainfo in the config'
)
NOT_FROM_ZERO = Fault('warning', 'no picture of the list has label 0', 'number the classes from 0 on, not from 1')


@dataclass(frozen=True)
class ClassSplit:
    """One folder a class, or a list of pictures and labels."""

    name: str
    folder: str
    ann_file: str = ''
    classes: int = 0
    """How many classes a config says there are; 0: not known."""

    def check(self, report: Report, crew: Crew) -> Counter[str]:
        """Count and open the pictures; the number of pictures of each class is returned."""
        if not os.path.isdir(self.folder):
            report.add(self.name, [(NO_FOLDER, self.folder)])
            return Counter()
        report.add(self.name, list_findings(self.ann_file) if self.ann_file else folder_findings(self.folder))
        sizes = Counter() if self.ann_file else Counter(dict.fromkeys(class_folders(self.folder), 0))
        sizes.update(name for name, _ in self.pictures())
        smallest, largest = min(sizes.values(), default=0), max(sizes.values(), default=0)
        counts = dict(classes=len(sizes), pictures=sizes.total(), smallest_class=smallest, largest_class=largest)
        report.count('imagenet', self.name, **counts)
        report.add(self.name, number_findings(self, sizes))
        report.add(self.name, imagenet_findings(self, sizes))
        check_pictures((path for _, path in self.pictures()), sizes.total(), self.name, report, crew)
        return sizes

    def pictures(self) -> Iterator[tuple[str, str]]:
        """Give each picture after its class: the folder's name, or the label in the list."""
        if self.ann_file:
            lines = filter(_is_sound, _list_lines(self.ann_file))
            yield from ((label, os.path.join(self.folder, name)) for name, label in lines)
            return
        for name in class_folders(self.folder):
            paths = files_below(os.path.join(self.folder, name))
            yield from ((name, path) for path in paths if ending(path) in CLASS_ENDINGS)


def class_folders(folder: str) -> list[str]:
    """List the names of classes."""
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith('.'))


def folder_findings(folder: str) -> Iterator[Finding]:
    """Tell what is wrong with how pictures lie in class folders, without opening them."""
    names = class_folders(folder)
    with os.scandir(folder) as entries:
        others = sorted((entry.path, entry.is_dir()) for entry in entries if entry.name not in names)
    loose = [path for path, is_folder in others if is_picture(path) and not is_folder]
    if not names:
        yield (NO_CLASSES, '') if loose else (NO_PICTURES, folder)
    yield from ((LOOSE, path) for path in loose if names)
    yield from ((HIDDEN_CLASSES, path) for path, is_folder in others if is_folder)
    for name in names:
        yield from _class_findings(os.path.join(folder, name))


def _class_findings(folder: str) -> Iterator[Finding]:
    """Tell which files of one class will not be read."""
    read = 0
    for path in files_below(folder):
        if ending(path) in CLASS_ENDINGS:
            read += 1
        else:
            yield UNREAD if is_picture(path) else OTHERS, path
    if not read:
        yield NO_CLASS_PICTURES, folder


def _list_lines(ann_file: str) -> Iterator[tuple[str, str]]:
    """Read names and labels from a list; nothing from one that is not there."""
    if os.path.isfile(ann_file):
        with open(ann_file, encoding='utf-8') as lines:
            for line in filter(None, map(str.strip, lines)):
                name, _, label = line.rpartition(' ')
                yield name.strip(), label


def _is_sound(line: tuple[str, str]) -> bool:
    """Tell whether a line of a list has a name and a label."""
    name, label = line
    return bool(name) and label.isdecimal()


def list_findings(ann_file: str) -> Iterator[Finding]:
    """Tell what is wrong with a list of names and labels."""
    if not os.path.isfile(ann_file):
        yield MISSING, ann_file
        return
    labels = {int(line[1]) for line in _list_lines(ann_file) if _is_sound(line)}
    yield from ((BAD_LINES, ' '.join(line).strip()) for line in _list_lines(ann_file) if not _is_sound(line))
    if labels and 0 not in labels:
        yield NOT_FROM_ZERO, ''


def number_findings(split: ClassSplit, sizes: Counter[str]) -> Iterator[Finding]:
    """Compare the classes with the number that a config says."""
    if split.classes and split.ann_file:
        yield from ((TOO_LARGE, f'label {label}') for label in sizes if int(label) >= split.classes)
    elif split.classes and len(sizes) != split.classes:
        what = f'{len(sizes):,} class folders, where the config has {split.classes:,} classes'
        yield Fault('error', what, "unpack the rest, or correct the dataset's type or metainfo in the config"), ''


def imagenet_findings(split: ClassSplit, sizes: Counter[str]) -> Iterator[Finding]:
    """Compare what claims to be ImageNet-1k, by 1,000 classes or by their names, with what that has."""
    named = _are_of_imagenet(sizes)
    total = sizes.total()
    expected = IMAGENET.get(os.path.basename(os.path.normpath(split.folder)), total)
    if len(sizes) == IMAGENET_CLASSES and total != expected:
        what = f'{total:,} pictures in 1,000 classes, where ImageNet-1k has {expected:,}'
        severity = 'error' if named or split.ann_file else 'warning'
        yield Fault(severity, what, 'unpack the rest, if it is ImageNet-1k'), ''
    elif named and NEARLY_ALL <= len(sizes) < IMAGENET_CLASSES:
        what = f"{len(sizes):,} classes with ImageNet's names, where ImageNet-1k has {IMAGENET_CLASSES:,}"
        yield Fault('error', what, 'unpack the rest'), ''


def _are_of_imagenet(names: Sequence[str] | Counter[str]) -> bool:
    """Tell whether all names are those that ImageNet gives to classes."""
    return bool(names) and all(map(IMAGENET_NAME.fullmatch, names))


def check_classes(splits: Sequence[ClassSplit], report: Report, crew: Crew) -> None:
    """Check all splits, and whether their class folders are the same."""
    sizes = {split: split.check(report, crew) for split in splits}
    folders = {split.name: found for split, found in sizes.items() if found and not split.ann_file}
    report.add(', '.join(folders), compare_classes(folders))


def compare_classes(sizes: dict[str, Counter[str]]) -> Iterator[Finding]:
    """Tell which classes are not in all splits."""
    for name in sorted(set().union(*sizes.values())):
        where = [split for split, found in sizes.items() if name in found]
        if len(where) < len(sizes):
            yield OTHER_CLASSES, f'{name} (only in {", ".join(where)})'


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
    """Tell class folders from pictures beside their masks."""
    names = set(class_folders(folder))
    return bool(names) and not names <= {'images', 'masks', 'annotations', 'labels'}
