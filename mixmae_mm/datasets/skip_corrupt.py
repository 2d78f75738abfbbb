"""Corrupt samples of any dataset are skipped, counted and listed; too many of them stop a run.

`ImageDataset` does so by itself. For the labeled datasets of other libraries the pipeline is wrapped.
"""

import logging
from collections.abc import Mapping
from typing import Any

from mmengine.dataset import BaseDataset, Compose
from mmengine.logging import print_log
from torch.utils.data import Dataset

from mixmae_mm.datasets.corrupt_images import CorruptImageCount
from mixmae_mm.datasets.transforms.load_image import CorruptImageError
from mixmae_mm.utils.names import printable

FEWEST = 10  # corrupt images, as many as which never stop a run: in a small set one or two are a large share
LARGEST = 0.1  # share of corrupt images that is allowed, unless a dataset sets another


def note_corrupt(
    corrupt: CorruptImageCount,
    place: tuple[int, str],
    error: Exception,
    root: str,
    share: float | None = None,
    all_below: bool = False,
) -> None:
    """Log a warning on an image the first time it is read, with the number of such images so far, and list it.

    Args:
        corrupt: The count of the dataset.
        place: The image's index in the dataset, and its path.
        error: What was raised.
        root: Where the images of the dataset lie.
        share: How many of all images may be corrupt, the dataset's `max_corrupt`; None if it has none.
        all_below: Whether those count that other processes, or an earlier part of the run, have listed below `root`:
            where nothing else lies there.

    Raises:
        ValueError: it is one too many.
    """
    index, path = place
    if corrupt.flags[index]:
        return
    listed = corrupt.note(index, path, str(error).removeprefix(f'{printable(path)}: '), root)
    count = listed if all_below else int(corrupt.flags.sum())
    text = f'corrupt image skipped ({count} so far): {error}'
    print_log(text, logger='current', level=logging.WARNING)
    if count > max(FEWEST, (LARGEST if share is None else share) * len(corrupt.flags)):
        raise ValueError(_too_large_a_share(corrupt, count, error, root, share))


def _too_large_a_share(
    corrupt: CorruptImageCount, count: int, error: Exception, root: str, share: float | None
) -> str:
    """Report how many images are corrupt, which, and what to do."""
    listed, total = corrupt.listed, len(corrupt.flags)
    first = listed.first(root) if listed else [str(error)]
    where = f'all are listed in {listed.file}, the first of them' if listed else 'the last of them'
    allowed = 'are allowed' if share is None else 'max_corrupt allows'
    higher = '' if share is None else '; or set max_corrupt of the dataset higher'
    again = ', remove the list and train on with --resume' if listed else ''
    return (
        f'{count:,} of {total:,} images of {root!r} ({count / total:.1%}) cannot be read, more '
        f'than the {LARGEST if share is None else share:.1%} that {allowed}; {where}:'
        + ''.join(f'\n  {line}' for line in first)
        + f'\nFix or remove them{again}{higher}'
    )


class SkippingPipeline(Compose):
    """The pipeline of a dataset with labels, in which a sample with corrupt files or labels does not end the run.

    In training such a sample gives None, for which mmengine takes another one. In evaluation the next sound sample
    stands in for it, marked by `left_out`, so that `PartialEvaluator` keeps it out of the metrics.

    Broken is what a transform that loads cannot read (`LoadImageFromFile`, `LoadAnnotations`, ...), and a label that is
    none of the classes; what other transforms raise ends the run, as it is their fault or that of their settings.

    Args:
        dataset: Of mmengine; its transforms are taken.
        evaluating: Whether each sample counts.
        num_classes: Labels are below it; None if that is not known.
    """

    def __init__(self, dataset: BaseDataset, evaluating: bool, num_classes: int | None) -> None:
        self.transforms = dataset.pipeline.transforms
        self.dataset, self.evaluating, self.num_classes = dataset, evaluating, num_classes
        self.corrupt = CorruptImageCount(len(dataset))

    def __call__(self, data: dict) -> dict | None:
        """Run the transforms.

        Raises:
            ValueError: too many samples are corrupt.
        """
        self.corrupt.write()
        sample = {key: data.get(key) for key in ('img_path', 'img_id')}
        result = self._attempt(data)
        if result is None or result is not Broken or not self.evaluating:
            return None if result is Broken else result
        for step in range(1, len(self.dataset)):
            result = self._attempt(self.dataset.get_data_info((int(data['sample_idx']) + step) % len(self.dataset)))
            if result is not None and result is not Broken:
                return _marked(result, sample)
        raise ValueError(f'no sample of {self.dataset.data_root!r} can be read; see the warnings above')

    def _attempt(self, data: dict) -> Any:
        """Run the transforms; `Broken` where they cannot be."""
        index, path = int(data['sample_idx']), str(data.get('img_path'))
        try:
            return self._run(data)
        except CorruptImageError as error:
            note_corrupt(self.corrupt, (index, path), error, self.dataset.data_root or '')
            if self.corrupt.flags.all():
                raise ValueError(f'none of the {len(self.dataset):,} samples can be read, the last: {error}') from error
        return Broken

    def _run(self, data: dict) -> dict | None:
        """Run the transforms."""
        path = printable(str(data.get('img_path')))
        ignored = getattr(self.dataset, 'ignore_index', 255)
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
            if loads and (reason := mask_fault(data, self.num_classes, ignored)):
                raise CorruptImageError(f'{path}: {reason}')
        return data


class Broken:
    """Stands for a corrupt sample, as None stands for one that a transform rejects."""


def _marked(result: dict, sample: dict) -> dict:
    """Mark a sample as a replacement of another."""
    samples = result['data_samples']
    for one in samples if isinstance(samples, list) else [samples]:
        one.set_metainfo(dict(left_out=sample))
    return result


def mask_fault(data: Mapping, num_classes: int | None, ignored: int) -> str:
    """Return what is wrong with a mask that was loaded; '' if nothing is."""
    mask, size = data.get('gt_seg_map'), data.get('ori_shape')
    if mask is None:
        return ''
    if size is not None and mask.shape[:2] != tuple(size[:2]):
        return f'the mask is {mask.shape[1]} x {mask.shape[0]}, the image {size[1]} x {size[0]}'
    wrong = mask[(mask >= num_classes) & (mask != ignored)] if num_classes else ()
    return f'the mask has label {wrong.max()}, where classes are 0 to {num_classes - 1}' if len(wrong) else ''


def skip_corrupt(dataset: Dataset, evaluating: bool, num_classes: int | None) -> None:
    """Have corrupt samples skipped by the datasets of mmengine among a dataset and those that it repeats or joins."""
    if isinstance(dataset, BaseDataset) and not hasattr(dataset, 'corrupt'):
        of_masks = num_classes if hasattr(dataset, 'reduce_zero_label') else None  # mmdet's may have stuff besides
        dataset.pipeline = SkippingPipeline(dataset, evaluating, of_masks)
    for one in inner_datasets(dataset):
        skip_corrupt(one, evaluating, num_classes)


def inner_datasets(dataset: Dataset) -> list[Dataset]:
    """Return the datasets that a dataset repeats or joins."""
    return [dataset.dataset] if hasattr(dataset, 'dataset') else list(getattr(dataset, 'datasets', ()))
