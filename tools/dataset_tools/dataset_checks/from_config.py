"""What the three loaders of a config read."""

import sys
from collections import Counter
from collections.abc import Callable
from contextlib import redirect_stdout
from functools import partial

from mmengine.config import Config, ConfigDict
from mmengine.registry import DATASETS

from dataset_checks.folders import UNREAD, class_counts, coco_findings, sort_files
from dataset_checks.samples import labels_of, turns_images
from dataset_checks.split import Split
from mixmae_mm.datasets import LoadImage
from mixmae_mm.datasets.image_reader import whole_reader
from mixmae_mm.datasets.transforms.random_resized_crop import OPENCV_MOST
from mixmae_mm.engine.checks.coco import CocoFile, load_coco
from mixmae_mm.engine.checks.datasets import (
    dataset_findings,
    distinct_settings,
    folders_of,
    is_a,
    json_labels,
    open_dataset,
)
from mixmae_mm.engine.checks.empty import subset_reason
from mixmae_mm.engine.checks.loaders import without_hidden_folders
from mixmae_mm.engine.checks.report import Finding
from mixmae_mm.engine.checks.settings import settings_findings

KNOWN = ('ImageDataset', 'CustomDataset', 'CocoDataset', 'BaseSegDataset')
NOT_OPENED = Finding('error', 'cannot be opened', 'do what it says; or correct data_root and the other settings')


def config_splits(config: Config) -> list[Callable[[], Split]]:
    """Find the datasets of a config's loaders; one that several loaders share is listed once, under all their names."""
    found, scope = distinct_settings(config, ('train', 'val', 'test')), config.get('default_scope')
    if not found:
        raise ValueError(
            f'{config.filename} has no train_dataloader, val_dataloader or test_dataloader; name a training config'
        )
    for _, settings in found:
        with redirect_stdout(sys.stderr), DATASETS.switch_scope_and_registry(scope) as registry:
            cls = registry.get(settings['type']) if isinstance(settings['type'], str) else settings['type']
        if cls is None or not any(parent.__name__ in KNOWN for parent in cls.__mro__):
            raise ValueError(
                f'dataset type {settings["type"]} is unknown; known are {", ".join(KNOWN)} and their '
                'subclasses: install the package it comes from, or name the folder instead of the config'
            )
    return [partial(_read, ', '.join(names), settings, scope) for names, settings in found]


def _read(name: str, settings: ConfigDict, scope: str | None) -> Split:
    """Open a dataset as the config does, without filters, and list its images."""
    pipeline = [step for step in settings.get('pipeline') or () if isinstance(step, dict)]
    own = {key: value for key, value in settings.items() if key != 'filter_cfg'}
    try:
        with redirect_stdout(sys.stderr), without_hidden_folders():
            dataset = DATASETS.build({'_scope_': scope} | own | dict(pipeline=[]))
    except Exception as error:  # of any library
        if _is_explained(error, name, own, scope):
            return Split(name, 'images')
        reason = subset_reason(own, scope) if isinstance(error, IndexError) else None
        return Split(name, 'images', findings=[NOT_OPENED.at(reason or f'{type(error).__name__}: {error}')])
    dense = is_a(dataset, 'CocoDataset', 'BaseSegDataset')
    load = whole_reader(pipeline) or LoadImage(**(dict(max_pixels=OPENCV_MOST) if dense else {}))
    split = Split(name, 'images', dataset, counts=dict(images=len(dataset)), turns=turns_images(pipeline), load=load)
    if is_a(dataset, 'CocoDataset'):
        data, _ = load_coco(dataset.ann_file)
        split.kind = 'coco'
        split.findings, split.counts = coco_findings(CocoFile(dataset.ann_file, data), data)
    elif is_a(dataset, 'BaseSegDataset'):
        split.kind, split.labels = 'ade20k', labels_of(dataset)
    elif folders_of(dataset):
        files, findings = sort_files(dataset.img_prefix, dataset.extensions)
        split.findings = [one for one in findings if one.what != UNREAD.what]  # which `check_config` counts
        split.kind, split.counts = 'imagenet', class_counts({name: len(paths) for name, paths in files.items()})
    elif is_a(dataset, 'CustomDataset') and dataset.with_label:
        sizes = Counter(dataset.get_data_info(index)['gt_label'] for index in range(len(dataset)))
        split.kind, split.counts = 'imagenet', class_counts(sizes)
    return split


def _is_explained(error: Exception, name: str, settings: ConfigDict, scope: str | None) -> bool:
    """Return whether `check_config` will report errors that explain why a dataset cannot be opened."""
    if isinstance(error, OSError | IndexError):  # of missing files or indices, on which these findings say nothing
        return False
    dataset = open_dataset(settings, scope)
    findings = [*settings_findings(settings, dataset)]
    if dataset is not None:
        findings += dataset_findings(dataset, settings, name, 0, json_labels(dataset))
    return any(finding.severity == 'error' for finding in findings)
