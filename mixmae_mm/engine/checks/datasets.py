"""The datasets of a config's loaders: opened without reading their samples, and checked one by one."""

import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout, suppress
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.dataset import BaseDataset
from mmengine.registry import DATASETS

from mixmae_mm.datasets.file_list import class_folders
from mixmae_mm.datasets.image_reader import unwrapped
from mixmae_mm.engine.checks.classes import compare_folders, compare_labels, list_findings
from mixmae_mm.engine.checks.coco import read_coco
from mixmae_mm.engine.checks.report import Finding
from mixmae_mm.engine.checks.settings import name_findings


def settings_of(config: Config, split: str) -> list[ConfigDict]:
    """Return the settings of the datasets that the loader of a split reads."""
    dataset = (config.get(f'{split}_dataloader') or {}).get('dataset')
    return list(unwrapped(dataset)) if isinstance(dataset, dict) else []


def distinct_settings(config: Config, splits: Sequence[str]) -> list[tuple[list[str], ConfigDict]]:
    """Return the settings of each distinct dataset, with the splits that read it."""
    distinct: list[ConfigDict] = []
    for split in splits:
        distinct += [settings for settings in settings_of(config, split) if settings not in distinct]
    return [([split for split in splits if one in settings_of(config, split)], one) for one in distinct]


def open_dataset(settings: ConfigDict, scope: str | None, **others: Any) -> BaseDataset | None:
    """Build a dataset without samples and transforms; return None if that fails, which the run will report."""
    settings = {'_scope_': scope} | settings | dict(pipeline=[], lazy_init=True) | others
    with suppress(Exception), redirect_stdout(sys.stderr):  # from any library, which may print on import
        dataset = DATASETS.build(settings)
        return dataset if isinstance(dataset, BaseDataset) else None
    return None


def is_a(dataset: object, *names: str) -> bool:
    """Return whether an object's class or one of its base classes has one of these names."""
    return any(parent.__name__ in names for parent in type(dataset).__mro__)


def image_folder(dataset: BaseDataset) -> str:
    """Return the folder in which mmpretrain's and mmseg's datasets look for images; '' if none is set."""
    prefix = dataset.data_prefix
    return (prefix.get('img_path') if isinstance(prefix, dict) else prefix) or ''


def folders_of(dataset: BaseDataset) -> list[str]:
    """Return the class folders that a dataset takes its labels from."""
    labeled = is_a(dataset, 'CustomDataset') and dataset.with_label and not dataset.ann_file
    return class_folders(image_folder(dataset)) if labeled else []


def class_names(dataset: BaseDataset) -> tuple[str, ...]:
    """Return the class names in the order of the labels; () if they are unknown or there are no labels."""
    named = _named(dataset) or folders_of(dataset)
    return tuple(named) if getattr(dataset, 'with_label', True) else ()


def _named(dataset: BaseDataset) -> tuple[str, ...]:
    """Return the class names of a dataset's metainfo; () if there are none, or none that can be used."""
    named = dataset.metainfo.get('classes') or ()
    return () if any(name_findings(named)) else tuple(named)


def json_labels(dataset: BaseDataset) -> Counter:
    """Count the labels in a JSON file of mmengine's format, and add its class names to the dataset's metainfo."""
    if not str(dataset.ann_file).endswith('.json') or is_a(dataset, 'CocoDataset', 'BaseSegDataset', 'CustomDataset'):
        return Counter()
    with suppress(OSError, ValueError, TypeError, KeyError, AttributeError):  # loading the dataset will report them
        labels = [entry['gt_label'] for entry in dataset.load_data_list()]
        return Counter(label for one in labels for label in (one if isinstance(one, list) else [one]))
    return Counter()


def dataset_findings(
    dataset: BaseDataset, settings: ConfigDict, split: str, number: int, labels: Counter
) -> Iterator[Finding]:
    """Report problems with the classes of a dataset; `number` is the head's number of classes (0 if unknown).

    `labels` counts the labels in its JSON file.
    """
    named = _named(dataset)
    if folders := folders_of(dataset):
        yield from compare_folders(split, folders, named)
        inside = sum(len(class_folders(os.path.join(dataset.img_prefix, name))) for name in folders)
        if number and inside == number != len(folders):
            what = f'{len(folders)} class folders, which hold the {number} folders that the head is made for'
            yield Finding('error', what, 'move these up: only the first level counts as classes')
    elif is_a(dataset, 'CustomDataset') and dataset.ann_file and dataset.with_label:
        yield from list_findings(dataset.ann_file, len(named) or number)
    elif is_a(dataset, 'CocoDataset'):
        yield from _coco_findings(dataset, settings, named)
    elif is_a(dataset, 'BaseSegDataset') and not dataset.metainfo.get('classes') and split != 'train':
        advice = 'set metainfo=dict(classes=(...)) of the dataset'
        yield Finding('error', 'no classes are named, which IoUMetric needs', advice)
    elif labels:
        yield from compare_labels(labels, len(named) or number or max(labels) + 1)


def _coco_findings(dataset: BaseDataset, settings: ConfigDict, named: tuple[str, ...]) -> Iterator[Finding]:
    """Check the categories and fields of a COCO JSON file."""
    file, findings = read_coco(dataset.ann_file)
    yield from findings
    if file:
        masks = any(step.get('with_mask') for step in settings.get('pipeline') or () if isinstance(step, dict))
        yield from file.findings(*(['segmentation'] if masks else []))
        yield from file.compare_classes(named)
        used = Counter({label: file.used[name] for label, name in enumerate(named) if file.used[name]})
        yield from compare_labels(used, len(named))
