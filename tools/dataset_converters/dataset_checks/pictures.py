"""Checks of a folder of pictures, all that pre-training needs."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from dataset_checks.faults import NO_FOLDER, NO_PICTURES, OTHERS
from dataset_checks.files import Crew, is_picture, look, pictures_below
from mixmae_mm.datasets.decoding import MAX_PIXELS
from mixmae_mm.datasets.directory_walk import files_below
from mixmae_mm.engine.checks.report import Finding, Report


@dataclass(frozen=True)
class PictureSplit:
    """Pictures at any depth of a folder."""

    name: str
    folder: str
    max_pixels: int | None = MAX_PIXELS
    """As of `LoadPicture`."""

    def check(self, report: Report, crew: Crew) -> None:
        """Count and open the pictures."""
        if not os.path.isdir(self.folder):
            report.add(self.name, [(NO_FOLDER, self.folder)])
            return
        total = sum(1 for _ in pictures_below(self.folder))
        report.add(self.name, ((OTHERS, path) for path in files_below(self.folder) if not is_picture(path)))
        report.add(self.name, [] if total else [(NO_PICTURES, self.folder)])
        report.count('pictures', self.name, pictures=total)
        check_pictures(pictures_below(self.folder), total, self, report, crew)


def check_pictures(paths: Iterable[str], total: int, split: Any, report: Report, crew: Crew) -> None:
    """Open the pictures of a split, which has a `name` and `max_pixels`."""
    work = partial(_look_at_picture, quick=crew.quick, max_pixels=split.max_pixels)
    for findings in crew.run(work, paths, total, f'{split.name}: pictures'):
        report.add(split.name, findings)


def _look_at_picture(path: str, quick: bool, max_pixels: int | None) -> list[Finding]:
    """Open a picture and tell what is wrong."""
    return look(path, quick, max_pixels)[1]


def find_pictures(folder: str) -> list[PictureSplit]:
    """Take a folder as it is."""
    return [PictureSplit('all', folder)]
