"""Checks of a folder of images, all that pre-training needs."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from dataset_checks.faults import NO_FOLDER, NO_IMAGES, OTHERS
from dataset_checks.files import Crew, images_below, is_image, look
from mixmae_mm.datasets.decoding import MAX_PIXELS
from mixmae_mm.datasets.directory_walk import files_below
from mixmae_mm.engine.checks.report import Finding, Report


@dataclass(frozen=True)
class ImageSplit:
    """Images at any depth of a folder."""

    name: str
    folder: str
    max_pixels: int | None = MAX_PIXELS
    """As of `LoadImage`."""

    def check(self, report: Report, crew: Crew) -> None:
        """Count and open the images."""
        if not os.path.isdir(self.folder):
            report.add(self.name, [(NO_FOLDER, self.folder)])
            return
        total = sum(1 for _ in images_below(self.folder))
        report.add(self.name, ((OTHERS, path) for path in files_below(self.folder) if not is_image(path)))
        report.add(self.name, [] if total else [(NO_IMAGES, self.folder)])
        report.count('images', self.name, images=total)
        check_images(images_below(self.folder), total, self, report, crew)


def check_images(paths: Iterable[str], total: int, split: Any, report: Report, crew: Crew) -> None:
    """Open the images of a split, which has a `name` and `max_pixels`."""
    work = partial(_look_at_image, quick=crew.quick, max_pixels=split.max_pixels)
    for findings in crew.run(work, paths, total, f'{split.name}: images'):
        report.add(split.name, findings)


def _look_at_image(path: str, quick: bool, max_pixels: int | None) -> list[Finding]:
    """Open an image and tell what is wrong."""
    return look(path, quick, max_pixels)[1]


def find_images(folder: str) -> list[ImageSplit]:
    """Take a folder as it is."""
    return [ImageSplit('all', folder)]
