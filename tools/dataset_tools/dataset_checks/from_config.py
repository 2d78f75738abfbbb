"""What the three loaders of a config would read."""

import inspect
import os
import pickle
from dataclasses import replace
from functools import partial
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.registry import DATASETS

from dataset_checks.class_folders import ClassSplit
from dataset_checks.coco import CocoSplit
from dataset_checks.images import ImageSplit
from dataset_checks.mask_labels import Labels
from dataset_checks.masks import MaskSplit
from dataset_checks.stored import StoredSplit
from dataset_checks.turning import turns_images
from mixmae_mm.datasets import LoadImage, LoadMultispectral
from mixmae_mm.datasets.decoding import MAX_PIXELS
from mixmae_mm.datasets.image_reader import unwrapped, whole_reader
from mixmae_mm.engine.checks.sources import find_class

Split = ImageSplit | StoredSplit | ClassSplit | CocoSplit | MaskSplit


def config_splits(config: Config) -> list[Split]:
    """List what the loaders of a config would read; what several read is there once, under all their names.

    Raises:
        ValueError: there are no loaders, or they read what is not known here.
    """
    found: dict[Split, list[str]] = {}
    for name in ('train', 'val', 'test'):
        loader = config.get(f'{name}_dataloader')
        for dataset in unwrapped(loader['dataset']) if loader else ():
            names = found.setdefault(_read_dataset(dataset, config.get('default_scope')), [])
            names += [] if name in names else [name]
    if not found:
        raise ValueError(
            f'{config.filename} has no train_dataloader, val_dataloader or test_dataloader; name a config that trains'
        )
    return [replace(split, name=', '.join(names)) for split, names in found.items()]


def _read_dataset(dataset: ConfigDict, scope: str | None) -> Split:
    """Take from a dataset's settings what it would read.

    Raises:
        ValueError: its type is not known.
    """
    cls = _dataset_class(dataset['type'], scope)
    for parent in cls.__mro__:
        if parent.__name__ in READERS:
            return READERS[parent.__name__](dataset, cls)
    raise ValueError(
        f'datasets of type {dataset["type"]} are not known here; known are {", ".join(READERS)}, and what derives from '
        'them: name the folder instead of the config'
    )


def _dataset_class(name: str | type, scope: str | None) -> type:
    """Find a dataset's class by its name.

    Raises:
        ValueError: there is none of that name.
    """
    cls = find_class(DATASETS, name, scope)
    if cls is None:
        raise ValueError(f'there is no dataset type {name}: is the package it comes from installed?')
    return cls


def _setting(dataset: ConfigDict, cls: type, name: str) -> Any:
    """Return a setting, or its default in the class or the nearest parent that has it."""
    if name in dataset:
        return dataset[name]
    for parent in cls.__mro__:
        default = inspect.signature(parent.__init__).parameters.get(name)
        if default is not None and default.default is not inspect.Parameter.empty:
            return default.default
    return None


def _from_root(dataset: ConfigDict, path: str) -> str:
    """Tell where a path of a dataset's settings leads to."""
    return os.path.join(dataset.get('data_root') or '', path)


def _place(dataset: ConfigDict, cls: type, *keys: str) -> str:
    """Tell the folder of a dataset: its root and the first prefix that it has."""
    prefix = _setting(dataset, cls, 'data_prefix') or ''
    parts = prefix if isinstance(prefix, dict) else {keys[0]: prefix}
    return _from_root(dataset, next((parts[key] for key in keys if parts.get(key)), ''))


def _annotations(dataset: ConfigDict, cls: type) -> str:
    """Tell the annotation file of a dataset; '' if it has none."""
    path = _setting(dataset, cls, 'ann_file')
    return _from_root(dataset, path) if path else ''


def _classes(dataset: ConfigDict, cls: type) -> tuple[str, ...]:
    """Name the classes that a dataset is to have."""
    own = dataset.get('metainfo', {}).get('classes') or getattr(cls, 'METAINFO', {}).get('classes') or ()
    return (own,) if isinstance(own, str) else tuple(own)


def _image_split(dataset: ConfigDict, cls: type) -> Split:
    """Read our ImageFolder; files with bands, or other extensions, are what only the dataset knows."""
    if dataset.get('extensions') or isinstance(whole_reader(dataset.get('pipeline') or ()), LoadMultispectral):
        return _stored_split(dataset, cls)
    return ImageSplit('', _from_root(dataset, ''), _max_pixels(dataset))


def _max_pixels(dataset: ConfigDict) -> int | None:
    """Tell up to how many pixels a dataset's pipeline reads images."""
    load = whole_reader(dataset.get('pipeline') or ())
    return MAX_PIXELS if load is None else load.max_pixels


def _stored_split(dataset: ConfigDict, cls: type) -> StoredSplit:
    """Read our other datasets."""
    settings = {key: value for key, value in dataset.to_dict().items() if key not in ('type', 'pipeline', '_scope_')}
    settings |= dict(type=cls, pipeline=[whole_reader(dataset.get('pipeline') or ()) or LoadImage()])
    return StoredSplit('', pickle.dumps(settings))


def _class_split(dataset: ConfigDict, cls: type) -> Split:
    """Read mmpretrain's CustomDataset, and its ImageNet, whose split names folder and list."""
    split = dataset.get('split') or ''
    folder, ann_file = _place(dataset, cls, 'img_path'), _annotations(dataset, cls)
    if split and not dataset.get('data_prefix'):
        folder = os.path.join(folder, split)
    listed = _from_root(dataset, f'meta/{split}.txt')
    if split and not ann_file and os.path.isfile(listed):
        ann_file = listed
    if not dataset.get('with_label', split != 'test'):
        return ImageSplit('', folder, _max_pixels(dataset))
    extensions = tuple(one.lower() for one in _setting(dataset, cls, 'extensions'))
    return ClassSplit('', folder, ann_file, extensions, _max_pixels(dataset))


def _coco_split(dataset: ConfigDict, cls: type) -> CocoSplit:
    """Read mmdet's CocoDataset."""
    images, turns = _place(dataset, cls, 'img', 'img_path'), turns_images(dataset)
    return CocoSplit('', _annotations(dataset, cls), images, turns)


def _mask_split(dataset: ConfigDict, cls: type) -> Split:
    """Read mmseg's datasets; where a class has labels of its own, they are what stands in the files."""
    images, masks = _place(dataset, cls, 'img_path'), _place(dataset, cls, 'seg_map_path')
    get = partial(_setting, dataset, cls)
    if get('data_prefix').get('seg_map_path') is None:
        return ImageSplit('', images)
    in_files = getattr(cls, 'METAINFO', {}).get('classes') or _classes(dataset, cls)
    return MaskSplit(
        '',
        images,
        masks,
        img_suffix=get('img_suffix'),
        mask_suffix=get('seg_map_suffix'),
        labels=Labels(len(in_files), bool(get('reduce_zero_label')), get('ignore_index')),
        ann_file=_annotations(dataset, cls),
        is_ade=cls.__name__ == 'ADE20KDataset',
        turns=turns_images(dataset),
    )


READERS = dict(
    ImageFolder=_image_split,
    CustomDataset=_class_split,
    CocoDataset=_coco_split,
    BaseSegDataset=_mask_split,
    ImageDataset=_stored_split,
)
