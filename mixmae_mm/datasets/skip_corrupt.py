"""Skipping and counting of corrupt samples, in any dataset of mmengine; too many of them stop a run."""

import logging
from collections.abc import Mapping

import numpy as np
import torch
from mmengine.dataset import BaseDataset, Compose
from mmengine.logging import print_log
from torch.utils.data import Dataset

from mixmae_mm.datasets.transforms.load_image import CorruptImageError
from mixmae_mm.utils.names import printable

FEWEST = 10  # corrupt images that are allowed whatever their share: in a small set, one or two can be a large share
LARGEST = 0.1  # share of corrupt images that is allowed unless a dataset sets another


class CorruptImages:
    """Flags of the corrupt images of a dataset, in memory that loader workers share.

    The share `share` of the images may be corrupt, or `FEWEST` images if these are more.
    """

    def __init__(self, num_images: int, root: str, share: float = LARGEST) -> None:
        self.flags = torch.zeros(num_images, dtype=torch.bool).share_memory_()
        self.root, self.share = root, share

    def __deepcopy__(self, memo: dict) -> 'CorruptImages':
        """Return fresh flags, because a subset renumbers its images."""
        return CorruptImages(len(self.flags), self.root, self.share)

    def indices(self) -> list[int]:
        """List the indices of the corrupt images."""
        return self.flags.nonzero().flatten().tolist()

    def note(self, index: int, error: CorruptImageError) -> None:
        """Flag a corrupt image and warn once, with the number so far; raise ValueError if there are too many."""
        if self.flags[index]:
            return
        self.flags[index] = True
        count, total = np.count_nonzero(self.flags.numpy()), len(self.flags)
        print_log(f'corrupt image skipped ({count} so far): {error}', 'current', logging.WARNING)
        if count > max(FEWEST, self.share * total):
            raise ValueError(
                f'{count:,} of {total:,} images of {self.root!r} ({count / total:.1%}) cannot be read, more than the '
                f'{self.share:.1%} that max_corrupt allows; the last: {error}\nThe log and corrupt.txt in the work_dir '
                'list them, check_dataset.py finds all: fix or remove them, or raise max_corrupt of the ImageFolder'
            ) from error


class SkippingPipeline(Compose):
    """Pipeline of a labeled dataset of mmengine, in which a corrupt sample does not end the run.

    In training it returns None for a corrupt sample, so that mmengine draws another one. In evaluation the next valid
    sample replaces it, marked by `left_out`, so that `PartialEvaluator` keeps it out of the metrics. A sample is
    corrupt if a loading transform (`LoadAnnotations`, ...) cannot read it, or if its mask differs in size from the
    image or has labels of `num_classes` or more, except the one to ignore.
    """

    def __init__(self, dataset: BaseDataset, evaluating: bool, num_classes: int | None) -> None:
        self.transforms = dataset.pipeline.transforms
        self.dataset, self.evaluating, self.num_classes = dataset, evaluating, num_classes
        self.corrupt = CorruptImages(len(dataset), dataset.data_root or '')

    def __call__(self, data: dict) -> dict | None:
        """Run the transforms; raise `ValueError` if too many samples are corrupt."""
        asked = {key: data.get(key) for key in ('img_path', 'img_id')}
        for step in range(len(self.dataset)):
            index = int(data['sample_idx'])
            try:
                result = self._run(data)
            except CorruptImageError as error:
                self.corrupt.note(index, error)
                if self.corrupt.flags.all():
                    count = f'none of the {len(self.dataset):,} samples'
                    raise ValueError(f'{count} can be read, the last: {error}') from error
                if not self.evaluating:
                    return None
            else:
                if result is not None and step:
                    samples = result['data_samples']
                    for sample in samples if isinstance(samples, list) else [samples]:
                        sample.set_metainfo(dict(left_out=asked))
                if result is not None or not step:
                    return result
            data = self.dataset.get_data_info((index + 1) % len(self.dataset))
        return None

    def _run(self, data: dict) -> dict | None:
        """Run the transforms; raise `CorruptImageError` if the sample is corrupt."""
        path = printable(str(data.get('img_path')))
        for transform in self.transforms:
            loads = type(transform).__name__.startswith('Load')
            try:
                data = transform(data)
            except (ImportError, CorruptImageError):
                raise
            except Exception as error:  # corrupt bytes make decoders raise nearly anything
                if not loads:
                    raise
                raise CorruptImageError(f'{path}: {type(error).__name__}: {error}') from error
            if data is None:
                return None
            fault = mask_fault(data, self.num_classes, getattr(self.dataset, 'ignore_index', 255)) if loads else ''
            if fault:
                raise CorruptImageError(f'{path}: {fault}')
        return data


def mask_fault(data: Mapping, num_classes: int | None, ignored: int) -> str:
    """Return what is wrong with a loaded mask; '' if nothing is."""
    mask, size = data.get('gt_seg_map'), data.get('ori_shape')
    if mask is None:
        return ''
    if size is not None and mask.shape[:2] != tuple(size[:2]):
        return f'the mask is {mask.shape[1]} x {mask.shape[0]}, the image {size[1]} x {size[0]}'
    wrong = mask[(mask >= num_classes) & (mask != ignored)] if num_classes else ()
    return f'the mask has label {wrong.max()}, but classes are 0 to {num_classes - 1}' if len(wrong) else ''


def skip_corrupt(dataset: Dataset, evaluating: bool, num_classes: int | None) -> None:
    """Make a dataset of mmengine, and those that it repeats or concatenates, skip corrupt samples."""
    if isinstance(dataset, BaseDataset) and not hasattr(dataset, 'corrupt'):
        # in mmdet, labels of `num_classes` and more can be stuff
        of_masks = num_classes if hasattr(dataset, 'reduce_zero_label') else None
        dataset.pipeline = SkippingPipeline(dataset, evaluating, of_masks)
    for one in inner_datasets(dataset):
        skip_corrupt(one, evaluating, num_classes)


def inner_datasets(dataset: Dataset) -> list[Dataset]:
    """Return the datasets that a dataset repeats or concatenates."""
    return [dataset.dataset] if hasattr(dataset, 'dataset') else list(getattr(dataset, 'datasets', ()))
