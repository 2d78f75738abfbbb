"""Checks of images in Hugging Face datasets and multispectral files, read by the dataset that a config names."""

import pickle
from dataclasses import dataclass
from functools import lru_cache, partial
from io import BytesIO

from mmengine.registry import DATASETS

from dataset_checks.faults import EMPTY
from dataset_checks.files import Crew, header, library_fault, reading_fault
from mixmae_mm.datasets import CorruptImageError, LoadMultispectral
from mixmae_mm.datasets.image_dataset import ImageDataset
from mixmae_mm.engine.checks.report import Fault, Finding, Report

NOT_OPENED = Fault('error', 'cannot be opened', 'do what it says; or correct data_root and the other settings')


@dataclass(frozen=True)
class StoredSplit:
    """Images of one of our datasets that are not files which any viewer opens."""

    name: str
    settings: bytes
    """Of the dataset, pickled; its pipeline is one transform, which reads whole images."""

    def check(self, report: Report, crew: Crew) -> None:
        """Count and open the images."""
        try:
            total = len(_open(self.settings))
        except (ValueError, ImportError, OSError) as error:
            report.add(self.name, [(NOT_OPENED, str(error))])
            return
        report.count('images', self.name, images=total)
        look = partial(_look_at, self.settings, quick=crew.quick)
        for findings in crew.run(look, range(total), total, f'{self.name}: images'):
            report.add(self.name, findings)


@lru_cache(maxsize=1)
def _open(settings: bytes) -> ImageDataset:
    """Build the dataset, once in a process."""
    return DATASETS.build(pickle.loads(settings))


def _look_at(settings: bytes, number: int, quick: bool) -> list[Finding]:
    """Open the image of this number and tell what is wrong; the header of bands does not do."""
    dataset = _open(settings)
    image = dataset.get_data_info(number)
    path = image['img_path']
    try:
        content = dataset.bytes_of(image)
        if content == b'':
            return [(EMPTY, path)]
        if quick and not isinstance(dataset.pipeline.transforms[0], LoadMultispectral):
            limit = dataset.pipeline.transforms[0].max_pixels
            header(path, None if content is None else BytesIO(content), max_pixels=limit)
        else:
            dataset.pipeline(image if content is None else image | dict(img_bytes=content))
    except CorruptImageError as error:
        return [(reading_fault(error), str(error))]
    except ImportError as error:
        return [(library_fault(error), '')]
    return []
