"""What can be seen to be wrong from a config and its lists and folders, before a run builds anything."""

import os
from collections.abc import Iterator, Sequence

from mmengine.config import Config, ConfigDict
from mmengine.dataset import BaseDataset

from mixmae_mm.checks.classes import (
    ONE_STRING,
    Classes,
    compare_folders,
    compare_labels,
    compare_numbers,
    compare_splits,
)
from mixmae_mm.checks.coco_json import compare_categories, missing_fields, read_coco
from mixmae_mm.checks.lists import read_list
from mixmae_mm.checks.metrics import metric_findings
from mixmae_mm.checks.numbers import metric_numbers, model_numbers
from mixmae_mm.checks.report import Finding, Report
from mixmae_mm.checks.sources import is_a, open_dataset, settings_of
from mixmae_mm.datasets.walking import class_folders

ALL = ('train', 'val', 'test')


def check_config(config: Config, splits: Sequence[str] = ALL, report: Report | None = None) -> Report:
    """Compare classes across folders, lists, JSON, splits, heads, preprocessor and metrics; and what metrics need.

    Args:
        config: The config.
        splits: Those that will be read. Of the others only names of classes are compared, where they are there.
        report: What is found is added here.
    """
    report = report or Report()
    found, numbers, deeper = [], model_numbers(config), 0
    for where, settings in _distinct(config):
        dataset = open_dataset(settings, config.get('default_scope'))
        if dataset is None:
            continue
        source = Source(settings, dataset)
        read = ', '.join(split for split in where if split in splits)
        report.add(read, source.findings(read, numbers) if read else ())
        found += [Classes(split, source.names()) for split in where if source.names()]
        deeper = deeper or source.deeper()
    _compare(config, splits, found, numbers, deeper, report)
    for split in splits:
        report.add(split, metric_findings(config, split, numbers))
    return report


def _distinct(config: Config) -> list[tuple[list[str], ConfigDict]]:
    """Return the settings of all datasets, each once, with the splits that read it."""
    found = []
    for split in ALL:
        for settings in settings_of(config, split):
            same = next((where for where, others in found if others == settings), None)
            if same is None:
                found.append(([split], settings))
            elif split not in same:
                same.append(split)
    return found


def _compare(
    config: Config, splits: Sequence[str], found: list[Classes], numbers: dict[str, int], deeper: int, report: Report
) -> None:
    """Compare the classes of all splits, and their numbers with those that settings say."""
    read = _joined([classes for classes in found if classes.split in ('train', *splits)])
    report.add(', '.join(classes.split for classes in read), compare_splits(read))
    for other in _joined([classes for classes in found if classes.split not in ('train', *splits)]):
        findings = compare_splits([*read[:1], other])  # of no concern to this run, but to a later one
        report.add(other.split, ((fault._replace(severity='warning'), case) for fault, case in findings))
    for split in splits:
        numbers = numbers | metric_numbers(config, split)
    for where, fault in compare_numbers(read, numbers, deeper):
        report.add(where, [(fault, '')])


def _joined(found: list[Classes]) -> list[Classes]:
    """Join the splits that have the same classes."""
    where = {}
    for classes in found:
        where.setdefault(classes.names, []).append(classes.split)
    return [Classes(', '.join(dict.fromkeys(splits)), names) for names, splits in where.items()]


class Source:
    """A dataset that a loader of a config reads, opened without its samples."""

    def __init__(self, settings: ConfigDict, dataset: BaseDataset) -> None:
        self.settings, self.dataset = settings, dataset

    def names(self) -> tuple[str, ...]:
        """Return the names of the classes, by label; () where they are not known."""
        named = self.dataset.metainfo.get('classes') or ()
        return () if isinstance(named, str) else tuple(named) or tuple(self.folders())

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
            return
        steps = [step for step in self.settings.get('pipeline') or () if isinstance(step, dict)]
        masks = any(step.get('with_mask') for step in steps)
        yield from missing_fields(file, ['segmentation'] if masks else [])
        yield from compare_categories(file.categories, named)
