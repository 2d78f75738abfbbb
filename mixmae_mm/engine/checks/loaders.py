"""Checks of a run's loaders before it starts: they must find files and fill batches, and will skip corrupt samples."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from json import JSONDecodeError

import torch
from mmengine.dataset import BaseDataset, InfiniteSampler
from mmengine.evaluator import Evaluator
from mmengine.fileio import LocalBackend
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset

from mixmae_mm.datasets.file_list import is_hidden
from mixmae_mm.datasets.skip_corrupt import inner_datasets, mask_fault, skip_corrupt
from mixmae_mm.engine.checks.datasets import settings_of
from mixmae_mm.engine.checks.empty import empty_reason, subset_reason
from mixmae_mm.engine.checks.metrics import class_numbers
from mixmae_mm.engine.checks.report import Finding, Report
from mixmae_mm.evaluation.partial import PartialEvaluator
from mixmae_mm.mixing import group_images

TRIED, OPENED = 1000, 16  # about how many samples have their files looked for, and how many are opened


def open_loaders(runner: Runner, *splits: str, doubts: Sequence[str] = ()) -> None:
    """Build the loaders of a runner's splits as the runner would, and refuse unusable ones, naming the setting.

    `doubts` are warnings for the run's log. Raise ValueError if a dataset is empty, lacks its files, has images or
    masks that contradict its annotations or `num_classes`, or gives no batch, or batches too small to be mixed or for
    batch norm.
    """
    report = Report()
    num_classes = min(class_numbers(runner.cfg).values(), default=None)
    for split in splits:
        given = getattr(runner, f'_{split}_dataloader')
        if given is None:
            continue
        loader = _build(runner, split, given)
        report.add(f'{split}_dataloader.dataset', file_findings(loader.dataset, num_classes))
        _check_batches(split, loader, runner)
        skip_corrupt(loader.dataset, split != 'train', num_classes)
        setattr(runner, f'_{split}_dataloader', loader)
        if split != 'train':
            evaluator = runner.build_evaluator(getattr(runner, f'_{split}_evaluator'))
            kept = PartialEvaluator(evaluator.metrics) if type(evaluator) is Evaluator else evaluator
            setattr(runner, f'_{split}_evaluator', kept)
    for doubt in [*doubts, *report.refuse()]:
        runner.logger.warning(doubt)


def _build(runner: Runner, split: str, given: DataLoader | dict) -> DataLoader:
    """Build a loader; if its dataset lacks files, samples or indices, raise `ValueError` with the setting at fault."""
    differ, place = runner._randomness_cfg.get('diff_rank_seed', False), f'{split}_dataloader.dataset'
    try:
        with without_hidden_folders():
            return runner.build_dataloader(given, seed=runner.seed, diff_rank_seed=differ)
    except (OSError, JSONDecodeError, UnicodeDecodeError) as error:
        files = ', '.join(f'ann_file={settings.get("ann_file")}' for settings in settings_of(runner.cfg, split))
        raise ValueError(f'{place}: {error}: correct its data_root, data_prefix or {files}') from error
    except (ValueError, RuntimeError) as error:  # numpy's for nothing to concatenate, mmpretrain's for no file
        for settings in settings_of(runner.cfg, split):
            if reason := empty_reason(settings, runner.cfg.get('default_scope')):
                raise ValueError(f'{place}: {reason}') from error
        raise
    except IndexError as error:
        for settings in settings_of(runner.cfg, split):
            if reason := subset_reason(settings, runner.cfg.get('default_scope')):
                raise ValueError(f'{place}: {reason}') from error
        raise


@contextmanager
def without_hidden_folders() -> Iterator[None]:
    """Make mmengine skip hidden folders when it lists a folder, as it skips hidden files."""
    listing = LocalBackend.list_dir_or_file

    def visible(self: LocalBackend, *args: object, **settings: object) -> Iterator[str]:
        """List the paths in which no part is hidden."""
        return (path for path in listing(self, *args, **settings) if not any(map(is_hidden, path.split(os.sep))))

    LocalBackend.list_dir_or_file = visible
    try:
        yield
    finally:
        LocalBackend.list_dir_or_file = listing


def file_findings(dataset: Dataset, num_classes: int | None) -> Iterator[Finding]:
    """Report that no image or no mask exists; in a few samples, sizes and labels that contradict the annotations."""
    if isinstance(dataset, BaseDataset) and not hasattr(dataset, 'corrupt'):  # ours count corrupt images themselves
        samples = [dataset.get_data_info(index) for index in range(0, len(dataset), max(1, len(dataset) // TRIED))]
        for key, suffix in (('img_path', 'img_suffix'), ('seg_map_path', 'seg_map_suffix')):
            paths = [sample[key] for sample in samples if isinstance(sample.get(key), str) and '://' not in sample[key]]
            if paths and not any(map(os.path.exists, paths)):
                what = f'none of the {len(paths):,} expected files exists, such as {paths[0]!r}'
                yield Finding('error', what, f'correct data_root, data_prefix or {suffix}, or unpack the data')
        for sample in samples[:: max(1, len(samples) // OPENED)]:
            with suppress(Exception):  # a corrupt file, which the run will skip
                yield from _sample_findings(dataset, sample, num_classes)
    for one in inner_datasets(dataset):
        yield from file_findings(one, num_classes)


def _sample_findings(dataset: BaseDataset, sample: dict, num_classes: int | None) -> list[Finding]:
    """Read an image as the run does, and compare it with the size in its annotations and with its mask."""
    noted, data, findings = (sample.get('width'), sample.get('height')), dict(sample), []
    of_masks = num_classes if hasattr(dataset, 'reduce_zero_label') else None  # mmdet's may also hold stuff classes
    if None in noted and not of_masks:
        return []
    for step in dataset.pipeline.transforms:  # only transforms that draw no random numbers
        if type(step).__name__.startswith('LoadImage') or type(step).__name__ == 'LoadAnnotations':
            data = step(data)
    size = data['img'].shape[1::-1] if 'img' in data else noted
    if None not in noted and size != noted:
        turned = ' (its EXIF orientation may turn it: see check_dataset.py)' * (size == noted[::-1])
        case = f'{sample["img_path"]}: {size[0]} x {size[1]}{turned}, annotated as {noted[0]} x {noted[1]}'
        advice = f'correct them in {dataset.ann_file}, or unpack the images that it was made for'
        findings = [Finding('error', 'images whose size differs from their annotations', advice, case)]
    if reason := mask_fault(data, of_masks, getattr(dataset, 'ignore_index', 255)):
        advice = 'correct num_classes of the heads, reduce_zero_label or the masks'
        findings.append(Finding('error', 'masks of other classes or sizes', advice, f'{sample["img_path"]}: {reason}'))
    return findings


def _check_batches(split: str, loader: DataLoader, runner: Runner) -> None:
    """Check that an epoch has batches, and that each can be mixed and passes through batch norm."""
    batches = loader.batch_sampler
    sampler, size = getattr(batches, 'sampler', loader.sampler), getattr(batches, 'batch_size', 0)
    if isinstance(loader.dataset, IterableDataset) or not size:
        return
    endless = isinstance(sampler, InfiniteSampler)
    # grouped by aspect ratio, < 2 * size images may fill no batch; iterating to the end clears these groups
    few = len(loader) and not endless and len(sampler) < 2 * size
    if not endless and not (sum(1 for _ in batches) if few else len(loader)):
        raise ValueError(
            f'{len(loader.dataset)} images do not fill one batch of {size} for each of {runner.world_size} process(es) '
            f'in {type(batches).__name__}, and drop_last drops smaller ones: add images, or set --cfg-options '
            f'{split}_dataloader.batch_size=... to at most their number'
        )
    model = getattr(runner.model, 'module', runner.model)  # still a config if a strategy builds it later
    last = 0 if endless or getattr(batches, 'drop_last', False) else len(sampler) % size
    for images in (size, last or size) if split == 'train' else ():
        group_images(torch.empty(images), getattr(getattr(model, 'data_preprocessor', None), 'num_sources', 1))
        if images == 1 and isinstance(model, nn.Module) and needs_two_images(model, runner.world_size):
            which = 'batches are of a single image' if size == 1 else 'the last batch is a single image'
            raise ValueError(
                f'{which}, and batch norm after global pooling needs two: set train_dataloader.drop_last=True, or '
                'another train_dataloader.batch_size'
            )


def needs_two_images(model: nn.Module, world_size: int = 1) -> bool:
    """Return whether a model applies batch norm to features that are pooled to one value per channel."""
    norms = (nn.BatchNorm2d, nn.SyncBatchNorm) if world_size == 1 else nn.BatchNorm2d
    for part in model.modules():
        pools = (one for one in part.children() if isinstance(one, nn.AdaptiveAvgPool2d))
        to_one = isinstance(part, nn.Sequential) and any(pool.output_size in (1, (1, 1)) for pool in pools)
        if isinstance(part, nn.BatchNorm1d) or (to_one and any(isinstance(one, norms) for one in part.modules())):
            return True
    return False
