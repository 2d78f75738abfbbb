"""Datasets in folders: which ones there are, and checks of their file names and annotations."""

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from dataset_checks.objects import object_findings
from dataset_checks.samples import Labels
from dataset_checks.split import MISSING, NO_FOLDER, NO_IMAGES, Listed, Split
from mixmae_mm.datasets import LoadImage
from mixmae_mm.datasets.file_list import EXTENSIONS, class_folders, extension, files_below, is_hidden
from mixmae_mm.datasets.transforms.random_resized_crop import OPENCV_MOST
from mixmae_mm.engine.checks.classes import SPLITS, list_findings, read_list
from mixmae_mm.engine.checks.coco import CocoFile, load_coco
from mixmae_mm.engine.checks.left_out import IMAGES
from mixmae_mm.engine.checks.report import Finding

LAYOUTS = ('imagenet', 'coco', 'ade20k', 'images')
MASK_FOLDERS = (
    ('images/{}', 'annotations/{}'),
    ('img_dir/{}', 'ann_dir/{}'),
    ('images/{}', 'masks/{}'),
    ('{}', 'masks/{}'),
    ('{}/images', '{}/masks'),
)
ADE, ADE_CLASSES = ('training', 'validation'), 150

OTHERS = Finding('warning', 'files without an image extension, which are left out', 'nothing, or delete them')
NO_CLASSES = Finding(
    'error',
    'images in one folder, without class folders',
    'sort them into one folder per class, named as in train (for ILSVRC2012 the script valprep.sh does it), or write '
    'meta/<split>.txt beside the folder with a line "name label" for each image',
)
NO_CLASS_IMAGES = Finding('error', 'class folders without images', 'unpack them, or delete the folders')
LOOSE = Finding('warning', 'images outside the class folders, which are not read', 'move them, or delete them')
UNREAD = Finding('warning', 'images that are left out because of their extension', 'convert them to JPEG or PNG')
HIDDEN = Finding(
    'warning', 'hidden folders, which are left out', "delete them: mmpretrain's tools take them for classes"
)
NO_IMAGE = Finding('warning', 'masks without an image, which are not read', 'nothing, or add the images')
OTHER_EXTENSIONS = Finding('warning', 'images that do not end in img_suffix, which are not read', 'rename or convert')
LOSSY = Finding('error', 'masks are JPEG files, which blurs the labels', 'make them again as PNG')


def find_splits(folder: str, layout: str | None, num_classes: int = 0) -> list[Callable[[], Split]]:
    """Find the splits in a folder, of one of `LAYOUTS` or of all; raise ValueError if there is none of that layout."""
    if not os.path.isdir(folder):
        raise ValueError(f'there is no folder {folder} (looked for {os.path.abspath(folder)})')
    finders = dict(imagenet=_find_classes, coco=_find_coco, ade20k=partial(_find_masks, num_classes=num_classes))
    if layout == 'images':
        return [partial(image_split, folder)]
    found = [split for name in ([layout] if layout else finders) for split in finders[name](folder)]
    if layout and not found:
        names = ', '.join(sorted(os.listdir(folder))[:5]) or 'nothing'
        raise ValueError(f'{folder} is not laid out as {layout}: it holds {names}; see --help for the layouts')
    for name in [] if found else class_folders(folder):
        deeper = os.path.join(folder, name)
        if layouts := [name for name, find in finders.items() if find(deeper)]:
            raise ValueError(f'the data is one folder deeper: give {deeper} ({", ".join(layouts)})')
    return found or [partial(image_split, folder)]


def image_split(folder: str, name: str = 'all') -> Split:
    """List the images at any depth of a folder, which is all that pre-training needs."""
    files = list(files_below(folder))
    images = [path for path in files if _is_image(path)]
    findings = [_unread(path) for path in files if not _is_image(path)]
    findings += [] if images else [NO_IMAGES.at(folder)]
    return Split(name, 'images', Listed(dict(img_path=path) for path in images), findings, dict(images=len(images)))


def _find_classes(folder: str) -> list[Callable[[], Split]]:
    """Find train/<class>/ and val/<class>/, or the lists in meta/."""
    splits = [name for name in ('train', 'val') if os.path.isdir(os.path.join(folder, name))]
    lists = {name: os.path.join(folder, 'meta', f'{name}.txt') for name in splits}
    lists = {name: path for name, path in lists.items() if os.path.isfile(path)}
    classes = {name for split in splits for name in class_folders(os.path.join(folder, split))}
    if lists or classes - {'images', 'masks', 'annotations', 'labels'}:
        return [partial(class_split, name, os.path.join(folder, name), lists.get(name, '')) for name in splits]
    return []


def class_split(name: str, folder: str, ann_file: str = '') -> Split:
    """List images with classes: one folder per class, or a file of names and labels."""
    if ann_file:
        entries = read_list(ann_file)[0]
        findings, sizes = list(list_findings(ann_file, 0)), Counter(label for _, label in entries)
        paths = [os.path.join(folder, image) for image, _ in entries]
    else:
        found, findings = sort_files(folder)
        sizes = {name: len(files) for name, files in found.items()}
        paths = [path for files in found.values() for path in files]
    dataset = Listed(dict(img_path=path) for path in paths)
    return Split(name, 'imagenet', dataset, findings, class_counts(sizes), [] if ann_file else list(sizes))


def class_counts(sizes: Mapping[object, int]) -> dict[str, int]:
    """Return columns of the table, given the number of images of each class."""
    smallest, largest = (choose(sizes.values(), default=0) for choose in (min, max))
    return dict(classes=len(sizes), images=sum(sizes.values()), smallest_class=smallest, largest_class=largest)


def sort_files(folder: str, extensions: Sequence[str] = EXTENSIONS) -> tuple[dict[str, list[str]], list[Finding]]:
    """Return the images in class folders, by class, and what is wrong with the layout of the files."""
    if not os.path.isdir(folder):
        return {}, [NO_FOLDER.at(folder)]
    found, root, loose = {name: [] for name in class_folders(folder)}, os.path.join(folder, ''), []
    hidden = [path for path in map(root.__add__, sorted(os.listdir(folder))) if is_hidden(os.path.basename(path))]
    findings = [HIDDEN.at(path) for path in hidden if os.path.isdir(path)]
    for path in files_below(folder):
        name = path.removeprefix(root).partition(os.sep)[0]
        if extension(os.path.basename(path)) not in extensions:
            findings.append(_unread(path))
        else:
            found.get(name, loose).append(path)
    if found:
        findings += map(LOOSE.at, loose)
    else:
        findings.append(NO_CLASSES if loose else NO_IMAGES.at(folder))
    return found, findings + [NO_CLASS_IMAGES.at(root + name) for name, paths in found.items() if not paths]


def _find_coco(folder: str) -> list[Callable[[], Split]]:
    """Find JSON files in the usual places, each with the first usual folder of images that exists."""
    root = Path(folder)
    found = sorted(root.glob('annotations/instances_*.json'))
    found += [path for name in SPLITS for path in (root / 'annotations' / f'{name}.json', root / f'{name}.json')]
    splits = []
    for path in filter(Path.is_file, found):
        name = path.stem.removeprefix('instances_')
        usual = [root / 'images' / name, root / name, root / 'images']
        splits.append((name, path, next(filter(Path.is_dir, usual), root / name)))
    inside = [(name, root / name / '_annotations.coco.json', root / name) for name in SPLITS]
    splits += [one for one in inside if one[1].is_file()]
    return [partial(coco_split, name, str(path), str(images)) for name, path, images in splits]


def coco_split(name: str, ann: str, folder: str) -> Split:
    """List the images of a JSON file in COCO format, whose file names are relative to a folder."""
    data, findings = load_coco(ann)
    if data is None:
        return Split(name, 'coco', findings=findings or [MISSING.at(ann)])
    file = CocoFile(ann, data)
    objects, counts = coco_findings(file, data)
    findings = [*file.findings(), *objects]
    if not os.path.isdir(folder):
        return Split(name, 'coco', Listed([]), [*findings, NO_FOLDER.at(folder)], counts)
    images = [one for one in data['images'] if {'file_name', 'width', 'height'} <= one.keys()]
    samples = ({**one, 'img_path': os.path.join(folder, one['file_name'])} for one in images)
    return Split(name, 'coco', Listed(samples), findings, counts, load=LoadImage(max_pixels=OPENCV_MOST))


def coco_findings(file: CocoFile, data: dict) -> tuple[list[Finding], dict[str, int]]:
    """Return what is wrong with the objects of a JSON file, and columns of the table."""
    findings = [] if any(file.lacking[pair] for pair in file.needed) else list(object_findings(data))
    shown = {one.get('image_id') for one in data['annotations']}
    return findings, dict(
        images=file.total['images'],
        without_objects=len(file.images.keys() - shown),
        objects=file.total['annotations'],
        categories=file.total['categories'],
        categories_used=len(file.used.keys() - {None}),
    )


def _find_masks(folder: str, num_classes: int = 0) -> list[Callable[[], Split]]:
    """Find images with masks in the usual places."""
    splits = []
    for layout in MASK_FOLDERS:
        for name in SPLITS:
            paths = [os.path.join(folder, part.format(name)) for part in layout]
            if all(os.path.isdir(path) and any(map(_is_image, files_below(path))) for path in paths):
                is_ade = layout[1] == 'annotations/{}' and name in ADE and not num_classes
                labels = Labels(ADE_CLASSES, zero_is_none=True) if is_ade else Labels(num_classes)
                splits.append(partial(mask_split, name, *paths, labels))
    return splits


def mask_split(name: str, folder: str, masks: str, labels: Labels) -> Split:
    """List images and index masks of the same names in two folders, as mmseg's BaseSegDataset reads them."""
    img_suffix, mask_suffix = map(_usual_extension, (folder, masks))
    images = {path.removesuffix(img_suffix)[len(folder) :]: path for path in files_below(folder) if _is_image(path)}
    there = {path.removesuffix(mask_suffix)[len(masks) :]: path for path in files_below(masks) if _is_image(path)}
    read = {stem: path for stem, path in images.items() if path.endswith(img_suffix)}
    findings = [] if read else [NO_IMAGES.at(folder)]
    findings += [LOSSY] if mask_suffix.lower() in ('.jpg', '.jpeg') else []
    findings += [OTHER_EXTENSIONS.at(path) for stem, path in images.items() if stem not in read]
    findings += [NO_IMAGE.at(path) for stem, path in there.items() if stem not in read]
    samples = (dict(img_path=path, seg_map_path=f'{masks}{stem}{mask_suffix}') for stem, path in read.items())
    counts, load = dict(images=len(read), masks=len(there)), LoadImage(max_pixels=OPENCV_MOST)
    return Split(name, 'ade20k', Listed(samples), findings, counts, labels=labels, load=load)


def _is_image(path: str) -> bool:
    """Return whether a file's extension is that of an image."""
    return extension(os.path.basename(path)) in EXTENSIONS


def _unread(path: str) -> Finding:
    """Report a file that is not read, because it is no image or one of another extension."""
    return (UNREAD if extension(os.path.basename(path)) in IMAGES else OTHERS).at(path)


def _usual_extension(folder: str) -> str:
    """Return the most frequent extension of the images in a folder."""
    extensions = (os.path.splitext(path)[1] for path in files_below(folder) if _is_image(path))
    return Counter(extensions).most_common(1)[0][0]
