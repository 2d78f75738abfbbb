"""Checks of the loaders of a run before it starts: each has batches, and corrupt samples are skipped."""

import os
from collections.abc import Sequence
from json import JSONDecodeError

import torch
from mmengine.dataset import InfiniteSampler
from mmengine.evaluator import Evaluator
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import DataLoader, IterableDataset

from mixmae_mm.datasets.skip_corrupt import skip_corrupt
from mixmae_mm.engine.checks.files import check_files, empty_reason, without_hidden_folders
from mixmae_mm.engine.checks.numbers import model_numbers
from mixmae_mm.engine.checks.sources import settings_of
from mixmae_mm.evaluation.partial import PartialEvaluator
from mixmae_mm.mixing import group_images


def open_loaders(runner: Runner, *splits: str, doubts: Sequence[str] = ()) -> None:
    """Build the loaders of a runner's splits as it would, and refuse those that give nothing, with the setting's name.

    `doubts` are warnings for the run's log.

    Raises:
        ValueError: a dataset is empty, has none of its files, or does not fill a batch.
    """
    for doubt in doubts:
        runner.logger.warning(doubt)
    num_classes = min(model_numbers(runner.cfg).values(), default=None)
    for split in splits:
        given = getattr(runner, f'_{split}_dataloader')
        if given is None:
            continue
        loader = _build(runner, split, given)
        check_files(f'{split}_dataloader.dataset', loader.dataset, num_classes)
        check_batches(split, loader, runner)
        skip_corrupt(loader.dataset, split != 'train', num_classes)
        setattr(runner, f'_{split}_dataloader', loader)
        if split != 'train':
            evaluator = runner.build_evaluator(getattr(runner, f'_{split}_evaluator'))
            kept = PartialEvaluator(evaluator.metrics) if type(evaluator) is Evaluator else evaluator
            setattr(runner, f'_{split}_evaluator', kept)


def _build(runner: Runner, split: str, given: DataLoader | dict) -> DataLoader:
    """Build a loader."""
    differ = runner._randomness_cfg.get('diff_rank_seed', False)
    try:
        with without_hidden_folders():
            return runner.build_dataloader(given, seed=runner.seed, diff_rank_seed=differ)
    except FileNotFoundError as error:
        raise ValueError(
            f'{split}_dataloader.dataset: there is no {error.filename} (looked for {os.path.abspath(error.filename)}): '
            f'correct {split}_dataloader.dataset.data_root, data_prefix or ann_file'
        ) from error
    except (JSONDecodeError, UnicodeDecodeError) as error:
        files = ' or '.join(str(settings.get('ann_file')) for settings in settings_of(runner.cfg, split))
        raise ValueError(f'{split}_dataloader.dataset: ann_file={files} is not valid JSON: {error}') from error
    except (ValueError, RuntimeError) as error:  # numpy's for nothing to concatenate, mmpretrain's for no file
        for settings in settings_of(runner.cfg, split):
            if reason := empty_reason(settings, runner.cfg.get('default_scope')):
                raise ValueError(f'{split}_dataloader.dataset: {reason}') from error
        raise


def check_batches(split: str, loader: DataLoader, runner: Runner) -> None:
    """Check that a loader has batches, of which mmengine only says that an epoch has length 0.

    Raises:
        ValueError: an epoch has no batch, or one that cannot be mixed or that batch norm cannot take.
    """
    sampler = getattr(loader.batch_sampler, 'sampler', loader.sampler)
    size = loader.batch_size or getattr(loader.batch_sampler, 'batch_size', 0)
    if isinstance(loader.dataset, IterableDataset) or not size:
        return
    endless = isinstance(sampler, InfiniteSampler)
    if not endless and not _has_batches(loader, len(sampler), size):
        raise ValueError(
            f'{len(loader.dataset)} images do not fill one batch of {size} for each of {runner.world_size} '
            f'process(es){_buckets(loader)}, and drop_last leaves out what is less: add images, or set --cfg-options '
            f'{split}_dataloader.batch_size=... to at most their number'
        )
    if split == 'train':
        drops = getattr(loader.batch_sampler, 'drop_last', loader.drop_last)
        last = 0 if endless or drops else len(sampler) % size
        _check_sizes([size] * (endless or len(sampler) >= size) + [last] * (last > 0), runner)


def _check_sizes(sizes: list[int], runner: Runner) -> None:
    """Check that the model, or its config where a strategy builds it later, can train on the batches."""
    model = runner.model.module if hasattr(runner.model, 'module') else runner.model
    for size in sizes:
        group_images(torch.empty(size), getattr(getattr(model, 'data_preprocessor', None), 'num_sources', 1))
    if 1 in sizes and isinstance(model, nn.Module) and needs_two_images(model, runner.world_size):
        which = 'batches are of a single image' if sizes[0] == 1 else 'the last batch is a single image'
        raise ValueError(
            f'{which}, and batch norm behind global pooling needs two: set train_dataloader.drop_last=True, or another '
            'train_dataloader.batch_size'
        )


def _has_batches(loader: DataLoader, samples: int, size: int) -> bool:
    """Return whether there is a batch; a sampler that sorts images by their shape may find none in fewer than two."""
    if not len(loader) or samples >= 2 * size:
        return bool(len(loader))
    return sum(1 for _ in loader.batch_sampler) > 0  # to the end, where it forgets what it has sorted


def _buckets(loader: DataLoader) -> str:
    """Name a sampler that makes batches of its own."""
    kind = type(loader.batch_sampler).__name__
    return '' if kind == 'BatchSampler' else f', sorted by batch_sampler={kind}'


def needs_two_images(model: nn.Module, world_size: int = 1) -> bool:
    """Return whether a model normalizes over a batch what it has pooled to one value for each channel."""
    norms = (nn.BatchNorm2d, nn.SyncBatchNorm) if world_size == 1 else nn.BatchNorm2d
    for part in model.modules():
        if isinstance(part, nn.BatchNorm1d):
            return True
        pools = (one for one in part.children() if isinstance(one, nn.AdaptiveAvgPool2d))
        to_one = isinstance(part, nn.Sequential) and any(pool.output_size in (1, (1, 1)) for pool in pools)
        if to_one and any(isinstance(one, norms) for one in part.modules()):
            return True
    return False
