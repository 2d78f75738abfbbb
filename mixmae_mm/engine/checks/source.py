"""The classes of one dataset of a config, by its folders, its list or its JSON."""

import os
from collections import Counter
from collections.abc import Iterator

from mmengine.config import ConfigDict
from mmengine.dataset import BaseDataset

from mixmae_mm.datasets.directory_walk import class_folders
from mixmae_mm.engine.checks.classes import NO_NAMES, ONE_STRING, compare_folders, compare_labels
from mixmae_mm.engine.checks.coco_json import (
    compare_categories,
    missing_fields,
    not_coco,
    read_coco,
    unmatched_annotations,
)
from mixmae_mm.engine.checks.lists import read_labels, read_list
from mixmae_mm.engine.checks.report import Finding
from mixmae_mm.engine.checks.sources import is_a


class Source:
    """A dataset that a loader of a config reads, opened without its samples."""

    def __init__(self, settings: ConfigDict, dataset: BaseDataset) -> None:
        self.settings, self.dataset = settings, dataset

    def names(self) -> tuple[str, ...]:
        """Return the names of the classes, by label; () where they are not known, or there are no labels."""
        named = self.dataset.metainfo.get('classes') or ()
        if not getattr(self.dataset, 'with_label', True):
            return ()
        return () if isinstance(named, str) else tuple(named) or tuple(self.folders()) or self.labels()[1]

    def labels(self) -> tuple[Counter[int], tuple[str, ...]]:
        """Return the labels and names in a JSON file of mmpretrain's BaseDataset."""
        is_json = is_a(self.dataset, 'BaseDataset') and str(self.dataset.ann_file).endswith('.json')
        is_ours = not any(is_a(self.dataset, name) for name in ('CocoDataset', 'BaseSegDataset', 'CustomDataset'))
        return read_labels(self.dataset.ann_file) if is_json and is_ours else (Counter(), ())

    def folders(self) -> list[str]:
        """Return the class folders that a dataset takes its labels from."""
        dataset = self.dataset
        if not is_a(dataset, 'CustomDataset') or dataset.ann_file or not dataset.with_label:
            return []
        return class_folders(dataset.img_prefix)

    def deeper(self) -> int:
        """Count the folders in class folders that hold nothing else."""
        places = [os.path.join(self.dataset.img_prefix, name) for name in self.folders()]
        inner = [len(class_folders(place)) for place in places]
        bare = all(inner) and all(map(os.path.isdir, (entry.path for place in places for entry in os.scandir(place))))
        return sum(inner) if bare else 0

    def findings(self, split: str, numbers: dict[str, int]) -> Iterator[Finding]:
        """Report what is wrong with the classes of this dataset."""
        named = self.dataset.metainfo.get('classes') or ()
        if isinstance(named, str):
            yield ONE_STRING, named
        elif folders := self.folders():
            yield from compare_folders(split, folders, tuple(named))
        elif is_a(self.dataset, 'CustomDataset') and self.dataset.ann_file and self.dataset.with_label:
            yield from self._list_findings(len(named) or min(numbers.values(), default=0))
        elif is_a(self.dataset, 'CocoDataset'):
            yield from self._coco_findings(tuple(named))
        elif is_a(self.dataset, 'BaseSegDataset'):
            yield from [] if named or split == 'train' else [(NO_NAMES, '')]
        elif labels := self.labels()[0]:
            yield from compare_labels(labels, len(self.names()) or min(numbers.values(), default=max(labels) + 1))

    def _list_findings(self, number: int) -> Iterator[Finding]:
        """Check the labels of a list."""
        labels, findings = read_list(self.dataset.ann_file)
        yield from findings
        if number:
            yield from compare_labels(labels, number)

    def _coco_findings(self, named: tuple[str, ...]) -> Iterator[Finding]:
        """Check the categories and fields of a JSON file."""
        file = read_coco(self.dataset.ann_file)
        if file is None:
            yield from not_coco(self.dataset.ann_file)
            return
        steps = [step for step in self.settings.get('pipeline') or () if isinstance(step, dict)]
        masks = any(step.get('with_mask') for step in steps)
        yield from missing_fields(file, ['segmentation'] if masks else [])
        yield from unmatched_annotations(file)
        yield from compare_categories(file.categories, named)
        used = Counter({label: file.annotations[name] for label, name in enumerate(named) if file.annotations[name]})
        yield from compare_labels(used, len(named))
