"""Datasets without samples, or without their files: which setting it is."""

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from mmengine.config import ConfigDict
from mmengine.dataset import BaseDataset
from mmengine.fileio import LocalBackend
from torch.utils.data import Dataset

from mixmae_mm.datasets.directory_walk import describe, extension, files_below, is_hidden
from mixmae_mm.datasets.skip_corrupt import inner_datasets
from mixmae_mm.engine.checks.sources import open_dataset

TRIED, OPENED = 1000, 16  # samples of a dataset whose files are looked for, and whose masks are opened


@contextmanager
def without_hidden_folders() -> Iterator[None]:
    """Have mmengine leave out hidden folders where it lists folders, as it leaves out hidden files."""
    listing = LocalBackend.list_dir_or_file

    def visible(self: LocalBackend, *args: object, **settings: object) -> Iterator[str]:
        """List what is not masked."""
        return (path for path in listing(self, *args, **settings) if not any(map(is_hidden, path.split(os.sep))))

    LocalBackend.list_dir_or_file = visible
    try:
        yield
    finally:
        LocalBackend.list_dir_or_file = listing


def empty_reason(settings: ConfigDict, scope: str | None) -> str | None:
    """Return which setting leaves a dataset without samples; None if it has some, or cannot be opened."""
    dataset = open_dataset(settings, scope, serialize_data=False)
    if dataset is None or _count(dataset):
        return None
    plain = open_dataset(settings, scope, serialize_data=False, filter_cfg=None, indices=None)
    if count := _count(plain):
        kept = ', '.join(f'{key}={settings[key]}' for key in ('filter_cfg', 'indices') if settings.get(key) is not None)
        return f'none of {count:,} images is left by {kept}: change it, or see whether the sizes in the JSON are right'
    return _nothing_matches(dataset)


def _count(dataset: BaseDataset) -> int:
    """Count the samples of a dataset that was opened without them; 0 where it refuses to be empty."""
    try:
        dataset.full_init()
    except (ValueError, RuntimeError):
        return 0
    return len(dataset)


def _nothing_matches(dataset: BaseDataset) -> str:
    """Describe what was looked for, and what is there."""
    folder = next((path for path in dataset.data_prefix.values() if path), dataset.data_root)
    names = [f'{key}={getattr(dataset, key)!r}' for key in ('img_suffix', 'extensions') if hasattr(dataset, key)]
    if dataset.ann_file or not os.path.isdir(folder):
        return f'no sample in ann_file={dataset.ann_file!r}, data_prefix={folder!r}'
    seen = Counter(map(extension, files_below(folder)))
    return f'no file below {folder} has {" or ".join(names) or "the extension of an image"}: there are {describe(seen)}'


def check_files(place: str, dataset: Dataset, num_classes: int | None) -> None:
    """Check that files of a dataset are there, some of its images of the sizes noted, and labels of masks its classes.

    Raises:
        ValueError: none of its files is there, an image has another size, or a mask other labels.
    """
    if isinstance(dataset, BaseDataset) and not hasattr(dataset, 'corrupt'):
        samples = [dataset.get_data_info(index) for index in range(0, len(dataset), max(1, len(dataset) // TRIED))]
        for key, setting in (('img_path', 'data_prefix, img_suffix'), ('seg_map_path', 'data_prefix, seg_map_suffix')):
            paths = [sample[key] for sample in samples if isinstance(sample.get(key), str) and '://' not in sample[key]]
            if paths and not any(map(os.path.exists, paths)):
                raise ValueError(
                    f'{place}: none of the {len(paths):,} files looked for is there, such as {paths[0]!r}: correct '
                    f'data_root, {setting}, or unpack the data'
                )
        for sample in samples[:: max(1, len(samples) // OPENED)]:
            check_size(place, dataset, sample)
            if num_classes:
                check_mask(place, dataset, sample, num_classes)
    for one in inner_datasets(dataset):
        check_files(place, one, num_classes)


def check_size(place: str, dataset: BaseDataset, sample: dict) -> None:
    """Check that an image has the size that the annotations note, as the dataset's own transform reads it.

    Raises:
        ValueError: it has another.
    """
    loads = [step for step in dataset.pipeline.transforms if type(step).__name__.startswith('LoadImage')]
    noted = sample.get('height'), sample.get('width')
    if None in noted or not loads:
        return
    try:
        height, width = loads[0](dict(sample))['img'].shape[:2]
    except Exception:  # a corrupt file, which is skipped when its turn comes
        return
    if (height, width) != noted:
        turned = ' (its EXIF orientation may turn it: check_dataset.py says what to do)' * ((width, height) == noted)
        raise ValueError(
            f'{place}: {sample["img_path"]} has {width} x {height} pixels{turned}, and {noted[1]} x {noted[0]} in '
            f'{dataset.ann_file}: correct the sizes there, or unpack the images that the annotations were made for'
        )


def check_mask(place: str, dataset: BaseDataset, sample: dict, num_classes: int) -> None:
    """Check the labels of a mask, as the dataset's own transform reads it.

    Raises:
        ValueError: it has labels that are not among the classes.
    """
    loads = [step for step in dataset.pipeline.transforms if type(step).__name__ == 'LoadAnnotations']
    if not sample.get('seg_map_path') or not loads or not hasattr(dataset, 'reduce_zero_label'):
        return
    try:
        mask = loads[0](dict(sample))['gt_seg_map']
    except Exception:  # a corrupt file, which is skipped when its turn comes
        return
    ignored = getattr(dataset, 'ignore_index', 255)
    if wrong := sorted({int(label) for label in np.unique(mask)} - {*range(num_classes), ignored}):
        raise ValueError(
            f'{place}: {sample["seg_map_path"]} has label {wrong[-1]}, where the model has {num_classes} classes, 0 to '
            f'{num_classes - 1} (and {ignored} for none): correct num_classes of the heads, reduce_zero_label or the '
            'masks'
        )
