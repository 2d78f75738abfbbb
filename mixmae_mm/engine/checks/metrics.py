"""Checks that the metrics of a config can be computed, that for the best checkpoint among them."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.config import Config

from mixmae_mm.engine.checks.awaited import COCO_ITEMS, IOU_RESULTS, awaited_findings
from mixmae_mm.engine.checks.coco_json import CocoFile, missing_fields, read_coco, short_polygons
from mixmae_mm.engine.checks.numbers import metrics
from mixmae_mm.engine.checks.report import Fault, Finding
from mixmae_mm.engine.checks.sources import settings_of

HALF = Fault(
    'error',
    'settings that belong together are not all there',
    'set all three of <split>_dataloader, <split>_cfg and <split>_evaluator, or none',
)
WITH_MASKS = re.compile(r'mask_head|Mask|Seg|Ins|SOLO|Yolact|YOLACT|Panoptic|Cond')
NEEDS_LABELS = ('Accuracy', 'SingleLabelMetric', 'ConfusionMatrix', 'AveragePrecision', 'MultiLabelMetric')


def metric_findings(config: Config, split: str, numbers: Mapping[str, int]) -> Iterator[Finding]:
    """Report metrics of a split that cannot be computed, and settings that wait for one that is not there."""
    if split != 'train':
        given = {name: config.get(f'{split}_{name}') is not None for name in ('dataloader', 'cfg', 'evaluator')}
        if len(set(given.values())) > 1 and (given['cfg'] or given['evaluator']):
            yield from ((HALF, f'no {split}_{name}') for name, is_there in given.items() if not is_there)
            return
    for metric in metrics(config, split):
        kind = str(metric.get('type', '')).rpartition('.')[2]
        yield from CHECKS.get(kind, lambda *given: ())(config, split, metric, numbers)
        if kind in NEEDS_LABELS and any(_lacks_labels(settings) for settings in settings_of(config, split)):
            what = 'is given images without labels (with_label=False)'
            yield _fault(split, kind, what, 'leave the evaluator out'), ''
    if split == 'val':
        yield from awaited_findings(config)


def _fault(split: str, kind: str, what: str, advice: str) -> Fault:
    """Name the setting of a metric that cannot be computed."""
    return Fault('error', f'{split}_evaluator: {kind} {what}', advice)


def _lacks_labels(settings: Mapping) -> bool:
    """Return whether a dataset of mmpretrain is set to have no labels."""
    is_test = str(settings.get('type', '')).endswith('ImageNet') and settings.get('split') == 'test'
    return settings.get('with_label', not is_test) is False


def _accuracy(config: Config, split: str, metric: Mapping, numbers: Mapping[str, int]) -> Iterator[Finding]:
    """Check that there are as many classes as the largest k asks for."""
    topk = metric.get('topk', 1)
    largest, outputs = max([topk] if isinstance(topk, int) else topk), min(numbers.values(), default=0)
    if outputs and largest > outputs:
        what = f'is asked for top-{largest} of {outputs} classes'
        yield _fault(split, 'Accuracy', what, f'set topk to at most {outputs}, such as topk=(1,)'), ''


def _iou(config: Config, split: str, metric: Mapping, numbers: Mapping[str, int]) -> Iterator[Finding]:
    """Check the names of metrics, and that there are masks."""
    given = metric.get('iou_metrics', ['mIoU'])
    for name in [given] if isinstance(given, str) else given:
        if name not in IOU_RESULTS:
            yield _fault(split, 'IoUMetric', f"does not know '{name}'", f'take of {", ".join(IOU_RESULTS)}'), ''
    for settings in settings_of(config, split):
        prefix = settings.get('data_prefix')
        if isinstance(prefix, Mapping) and not prefix.get('seg_map_path') and not metric.get('format_only'):
            advice = 'set data_prefix.seg_map_path of the dataset, or format_only=True'
            yield _fault(split, 'IoUMetric', 'has no masks to compare with', advice), ''


def _coco(config: Config, split: str, metric: Mapping, numbers: Mapping[str, int]) -> Iterator[Finding]:
    """Check that the model gives what is measured, and that the metric's JSON goes with the data."""
    measured = metric.get('metric', 'bbox')
    measured = [measured] if isinstance(measured, str) else measured
    for item in metric.get('metric_items') or ():
        if item not in COCO_ITEMS and not item.startswith('AR'):
            yield _fault(split, 'CocoMetric', f"does not know '{item}'", f'take of {", ".join(COCO_ITEMS)}'), ''
    if 'segm' in measured and not WITH_MASKS.search(_words(config.get('model'))):
        what = "is asked for 'segm', but the model gives boxes only"
        yield _fault(split, 'CocoMetric', what, "set metric='bbox', or take a model with a mask head"), ''
    file = read_coco(metric['ann_file']) if metric.get('ann_file') else None
    if file is not None:
        yield from missing_fields(file, ['iscrowd', *(['segmentation'] if 'segm' in measured else [])])
        yield from short_polygons(file) if 'segm' in measured else ()
        yield from _same_file_findings(config, split, file)


def _same_file_findings(config: Config, split: str, file: CocoFile) -> Iterator[Finding]:
    """Check that the metric's JSON has the images and categories of the dataset's, and objects of them."""
    if not sum(file.annotations.values()):
        yield _fault(split, 'CocoMetric', f'has no annotations in {file.path}', 'name the file with the objects'), ''
    for settings in settings_of(config, split):
        path = settings.get('ann_file')
        other = read_coco(_join(settings.get('data_root'), path)) if path else None
        if other is None or other.path == file.path:
            continue
        if not other.images.items() <= file.images.items() or other.categories != file.categories:
            what = f'takes {file.path}, which has not the images or categories of {other.path}'
            yield _fault(split, 'CocoMetric', what, f'set {split}_evaluator.ann_file to the file of the dataset'), ''


def _join(root: str | None, path: str) -> str:
    """Join a path to its root as mmengine does."""
    return path if path.startswith('/') or not root else f'{root.rstrip("/")}/{path}'


CHECKS = dict(Accuracy=_accuracy, IoUMetric=_iou, CocoMetric=_coco)


def _words(model: Any) -> str:
    """Return the names and types of all parts of a model."""
    if isinstance(model, Mapping):
        parts = ((key, value) for key, value in model.items() if value is not None)
        return ' '.join(f'{key} {value if key == "type" else _words(value)}' for key, value in parts)
    return ' '.join(map(_words, model)) if isinstance(model, list | tuple) else ''
