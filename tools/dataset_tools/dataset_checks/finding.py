"""What kind of data set lies in a folder."""

import os
from collections.abc import Callable
from functools import partial

from dataset_checks.class_folders import find_classes
from dataset_checks.coco import find_coco
from dataset_checks.from_config import Split
from dataset_checks.images import find_images
from dataset_checks.masks import find_masks
from mixmae_mm.datasets.directory_walk import class_folders

KINDS = ('imagenet', 'coco', 'ade20k', 'images')


def find_splits(folder: str, kind: str | None, classes: int = 0) -> list[Split]:
    """Find what lies in a folder: of one of `KINDS`, or of all.

    Raises:
        ValueError: there is no folder, nothing of that kind in it, or what there is lies one folder deeper.
    """
    if not os.path.isdir(folder):
        raise ValueError(f'there is no folder {folder} (looked for {os.path.abspath(folder)})')
    finders = dict(imagenet=find_classes, coco=find_coco, ade20k=partial(find_masks, classes=classes))
    if not kind:
        found = [split for find in finders.values() for split in find(folder)]
        return found or _only_images(folder, finders)
    splits = (finders | dict(images=find_images))[kind](folder)
    if not splits:
        raise ValueError(
            f'{folder} is not laid out as {kind}: it holds {_contents(folder)}; see --help for the layouts'
        )
    return splits


def _only_images(folder: str, finders: dict[str, Callable]) -> list[Split]:
    """Take a folder for one of images, unless a folder in it is laid out as something else.

    Raises:
        ValueError: one is.
    """
    for name in class_folders(folder):
        deeper = os.path.join(folder, name)
        kinds = [kind for kind, find in finders.items() if find(deeper)]
        if kinds:
            raise ValueError(f'the data lie one folder deeper: give {deeper} ({", ".join(kinds)})')
    return find_images(folder)


def _contents(folder: str) -> str:
    """Name the first things in a folder."""
    names = sorted(os.listdir(folder))
    return ', '.join(names[:5]) + (', ...' if len(names) > 5 else '') if names else 'nothing'
