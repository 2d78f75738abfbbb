"""Why a dataset has no samples, or not those that its `indices` name."""

import os
from collections import Counter
from contextlib import suppress

from mmengine.config import ConfigDict
from mmengine.dataset import BaseDataset

from mixmae_mm.datasets.file_list import describe, extension, files_below
from mixmae_mm.engine.checks.coco import read_coco
from mixmae_mm.engine.checks.datasets import is_a, open_dataset


def empty_reason(settings: ConfigDict, scope: str | None) -> str | None:
    """Return which setting leaves a dataset without samples; None if it has some or cannot be opened."""
    dataset = open_dataset(settings, scope, serialize_data=False)
    if dataset is None or _count(dataset):
        return None
    if count := _count(open_dataset(settings, scope, serialize_data=False, filter_cfg=None, indices=None)):
        kept = ', '.join(f'{key}={settings[key]}' for key in ('filter_cfg', 'indices') if settings.get(key) is not None)
        file = read_coco(dataset.ann_file)[0] if is_a(dataset, 'CocoDataset') else None
        causes = '; '.join(f'{one.what} ({one.advice})' for one in (file.findings() if file else ()))
        return f'{kept} keeps none of {count:,} images: {causes or "change it, or check the sizes in the JSON"}'
    folder = next((path for path in dataset.data_prefix.values() if path), dataset.data_root)
    names = [f'{key}={getattr(dataset, key)!r}' for key in ('img_suffix', 'extensions') if hasattr(dataset, key)]
    if dataset.ann_file or not os.path.isdir(folder):
        return f'no sample in ann_file={dataset.ann_file!r}, data_prefix={folder!r}'
    seen = describe(Counter(map(extension, files_below(folder))))
    return f'no file below {folder} has {" or ".join(names) or "the extension of an image"}: there are {seen}'


def subset_reason(settings: ConfigDict, scope: str | None) -> str | None:
    """Return which of its `indices` a dataset lacks; None if it has all, is empty or cannot be opened."""
    dataset = open_dataset(settings, scope, serialize_data=False, indices=None)
    count = _count(dataset) if dataset is not None else 0
    beyond = next((index for index in settings.get('indices') or () if not -count <= index < count), None)
    if beyond is None or not count:
        return None
    return f'indices has {beyond}, but there are {count:,} images: use indices below that, or leave it out'


def _count(dataset: BaseDataset) -> int:
    """Count the samples of a dataset that was opened without them; return 0 if it refuses to be empty."""
    with suppress(ValueError, RuntimeError):
        dataset.full_init()
        return len(dataset)
    return 0
