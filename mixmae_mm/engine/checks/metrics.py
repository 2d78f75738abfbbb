"""Checks that the metrics of a config, and the one for the best checkpoint, can be computed; numbers of classes."""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from mmengine.config import Config
from mmengine.registry import METRICS

from mixmae_mm.engine.checks.coco import CocoFile, read_coco
from mixmae_mm.engine.checks.datasets import open_dataset, settings_of
from mixmae_mm.engine.checks.report import Finding

ELSEWHERE = ('backbone', 'neck', 'rpn', 'semantic', 'teacher')
"""Parts of a model whose classes are not those of the dataset."""
WITH_MASKS = re.compile(r'mask_head|Mask|Seg|Ins|SOLO|Yolact|YOLACT|Panoptic|Cond')
NEEDS_LABELS = ('Accuracy', 'SingleLabelMetric', 'ConfusionMatrix', 'AveragePrecision', 'MultiLabelMetric')
RESULTS = dict(
    SingleLabelMetric='(precision|recall|f1-score|support).*',
    IoUMetric='aAcc|mIoU|mAcc|mDice|mFscore|mPrecision|mRecall',
    CocoMetric=r'(bbox|segm)_(mAP(_(50|75|s|m|l|copypaste))?|AR.*)|\w+_precision|AR.*',
)
"""Regular expressions for the names of some metrics' results; other metrics may use any name."""


def class_numbers(config: Config, *splits: str) -> dict[str, int]:
    """Return each `num_classes` in the model and in the splits' metrics, by the name of the setting."""
    found = dict(_numbers('model', config.get('model') or {}))
    for split in splits:
        for metric in metrics(config, split):
            found[f'{split}_evaluator.{metric.get("type")}.num_classes'] = metric.get('num_classes')
    return {name: number for name, number in found.items() if isinstance(number, int) and number > 0}


def _numbers(name: str, part: Any) -> Iterator[tuple[str, Any]]:
    """Yield the name and value of each `num_classes` in the settings of a model."""
    if isinstance(part, Mapping) and 'num_classes' in part:
        yield f'{name}.num_classes', part['num_classes']
    if isinstance(part, Mapping | list | tuple):
        for key, value in part.items() if isinstance(part, Mapping) else enumerate(part):
            if not any(word in str(key) for word in ELSEWHERE):
                yield from _numbers(f'{name}.{key}', value)


def metrics(config: Config, split: str) -> list[Mapping]:
    """Return the settings of the metrics of a split."""
    given = config.get(f'{split}_evaluator') or []
    if isinstance(given, Mapping):
        given = given.get('metrics', given)
    return [one for one in ([given] if isinstance(given, Mapping) else given) if isinstance(one, Mapping)]


def metric_findings(config: Config, split: str, outputs: int) -> Iterator[Finding]:
    """Report metrics of a split that cannot be computed, and hooks that wait for a metric that does not exist."""
    for metric in metrics(config, split):
        kind = str(metric.get('type', '')).rpartition('.')[2]
        faults = list(_faults(config, split, kind, metric, outputs))
        if kind == 'CocoMetric' and metric.get('ann_file') and not metric.get('backend_args'):
            if file := read_coco(metric['ann_file'])[0]:
                fields = ['segmentation'] if 'segm' in metric.get('metric', 'bbox') else []
                yield from file.findings('iscrowd', *fields)
            faults += _file_faults(config, split, metric['ann_file'], file)
        yield from (Finding('error', f'{split}_evaluator: {kind} {what}', advice) for what, advice in faults)
    if split == 'val':
        yield from _awaited_findings(config)


def _faults(config: Config, split: str, kind: str, metric: Mapping, outputs: int) -> Iterator[tuple[str, str]]:
    """Yield each reason why a metric cannot be computed, with advice."""
    if kind == 'Accuracy' and 0 < outputs < max(_topk(metric)):
        yield f'is asked for top-{max(_topk(metric))} of {outputs} classes', f'set topk to at most {outputs}'
    model = re.sub(r"'\w+': None", '', str(config.get('model')))
    if kind == 'CocoMetric' and 'segm' in metric.get('metric', 'bbox') and not WITH_MASKS.search(model):
        yield "is asked for 'segm', but the model gives boxes only", "set metric='bbox', or add a mask head"
    for settings in settings_of(config, split):
        is_test = str(settings.get('type', '')).endswith('ImageNet') and settings.get('split') == 'test'
        if kind in NEEDS_LABELS and settings.get('with_label', not is_test) is False:
            yield 'has images without labels (with_label=False)', 'leave the evaluator out'
        prefix = settings.get('data_prefix')
        with_masks = not isinstance(prefix, Mapping) or prefix.get('seg_map_path') or metric.get('format_only')
        if kind == 'IoUMetric' and not with_masks:
            yield 'has no masks to compare with', 'set data_prefix.seg_map_path of the dataset, or format_only=True'


def _file_faults(config: Config, split: str, path: str, file: CocoFile | None) -> Iterator[tuple[str, str]]:
    """Yield each reason why the JSON file of a metric does not match the data, with advice."""
    if file and not file.total['annotations']:
        yield f'has no annotations in {path}', 'name the file with the objects'
    advice = f'set {split}_evaluator.ann_file to the file of the dataset'
    for settings in settings_of(config, split):
        dataset = open_dataset(settings, config.get('default_scope'))
        other = read_coco(dataset.ann_file or '')[0] if dataset is not None else None
        if other is None:
            continue
        if not os.path.isfile(path):
            yield f'reads {path}, which does not exist', advice
        elif file and (other.categories != file.categories or not other.images.items() <= file.images.items()):
            yield f'reads {path}, which lacks images or categories of {other.path}', advice


def _topk(metric: Mapping) -> list[int]:
    """Return the values of k for top-k in mmpretrain's `Accuracy`."""
    topk = metric.get('topk', 1)
    return [topk] if isinstance(topk, int) else list(topk)


def _awaited_findings(config: Config) -> Iterator[Finding]:
    """Report metrics that hooks wait for, but that validation never computes."""
    given = [_results(metric, config.get('default_scope')) for metric in metrics(config, 'val')]
    hooks = {f'default_hooks.{name}': hook for name, hook in (config.get('default_hooks') or {}).items()}
    hooks |= {f'custom_hooks[{number}]': hook for number, hook in enumerate(config.get('custom_hooks') or ())}
    pairs = ((place, hook, key) for place, hook in hooks.items() for key in ('save_best', 'monitor'))
    for place, hook, key in pairs:
        names = (hook.get(key) if isinstance(hook, Mapping) else None) or ()
        for name in [names] if isinstance(names, str) else names:
            if not any(name == 'auto' or re.fullmatch(one, name) for one in given):
                what = 'which val_evaluator does not report' if given else 'but nothing is validated'
                advice = f'use one that matches {" or ".join(given)}' if given else 'set val_evaluator'
                yield Finding('error', f"{place}.{key} waits for '{name}', {what}", advice)


def _results(metric: Mapping, scope: str | None) -> str:
    """Return a regular expression for the names of a metric's results."""
    cls = metric.get('type')
    if isinstance(cls, str):
        with suppress(ImportError):  # the run will report it
            cls = METRICS.get(cls if '.' in cls or not scope else f'{scope}.{cls}')
    kind = getattr(cls, '__name__', '')
    own = '|'.join(f'top{k}(_.*)?' for k in _topk(metric)) if kind == 'Accuracy' else RESULTS.get(kind, '.*')
    prefix = metric.get('prefix') or getattr(cls, 'default_prefix', None)
    return f'{re.escape(prefix)}/({own})' if prefix else own
