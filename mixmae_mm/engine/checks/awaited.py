"""Checks that the metric for the best checkpoint or early stopping is computed."""

from collections.abc import Iterator, Mapping, Sequence

from mmengine.config import Config
from mmengine.registry import METRICS

from mixmae_mm.engine.checks.numbers import metrics
from mixmae_mm.engine.checks.report import Fault, Finding
from mixmae_mm.engine.checks.sources import known_class

COCO_ITEMS = ('mAP', 'mAP_50', 'mAP_75', 'mAP_s', 'mAP_m', 'mAP_l')
IOU_RESULTS = dict(mIoU=('mIoU', 'mAcc'), mDice=('mDice', 'mAcc'), mFscore=('mFscore', 'mPrecision', 'mRecall'))


def awaited_findings(config: Config) -> Iterator[Finding]:
    """Report names of metrics that hooks wait for and that validation never gives."""
    given = [name for metric in metrics(config, 'val') for name in metric_names(metric, config.get('default_scope'))]
    for setting, name in _awaited(config):
        if any(name == one or (one.endswith('*') and name.startswith(one[:-1])) for one in given):
            continue
        if not given:
            what, advice = 'but nothing is validated', 'set val_dataloader, val_cfg and val_evaluator, or leave it out'
        elif name != 'auto':
            what, advice = 'which val_evaluator does not give', f'take one of {", ".join(given)}'
        else:
            continue
        yield Fault('error', f"{setting} waits for '{name}', {what}", advice), ''


def _awaited(config: Config) -> Iterator[tuple[str, str]]:
    """Return the settings that name a metric, and the names."""
    hooks = {f'default_hooks.{name}': hook for name, hook in (config.get('default_hooks') or {}).items()}
    hooks |= {f'custom_hooks[{number}]': hook for number, hook in enumerate(config.get('custom_hooks') or ())}
    for place, hook in hooks.items():
        for key in ('save_best', 'monitor') if isinstance(hook, Mapping) else ():
            names = hook.get(key) or ()
            yield from ((f'{place}.{key}', name) for name in ([names] if isinstance(names, str) else names))


def metric_names(metric: Mapping, scope: str | None) -> list[str]:
    """List the names under which a metric gives its results; one that ends in * stands for all that begin so."""
    cls = known_class(METRICS, metric.get('type', ''), scope)
    prefix = metric.get('prefix') or getattr(cls, 'default_prefix', None)
    start = f'{prefix}/' if prefix else ''
    return [start + name for name in RESULTS.get(getattr(cls, '__name__', ''), lambda metric: '*')(metric)]


def _accuracy_names(metric: Mapping) -> Sequence[str]:
    """Name the results of mmpretrain's Accuracy."""
    topk = metric.get('topk', 1)
    several = isinstance(metric.get('thrs'), list | tuple) and len(metric['thrs']) > 1
    return [f'top{k}' + '_*' * several for k in ([topk] if isinstance(topk, int) else topk)]


def _single_label_names(metric: Mapping) -> Sequence[str]:
    """Name the results of mmpretrain's SingleLabelMetric."""
    plain = metric.get('average', 'macro') == 'macro' and not isinstance(metric.get('thrs'), list | tuple)
    return [name + '*' * (not plain) for name in metric.get('items', ('precision', 'recall', 'f1-score'))]


def _iou_names(metric: Mapping) -> Sequence[str]:
    """Name the results of mmseg's IoUMetric."""
    given = metric.get('iou_metrics', ['mIoU'])
    kinds = [given] if isinstance(given, str) else given
    return ['aAcc', *(name for kind in kinds for name in IOU_RESULTS.get(kind, ()))]


def _coco_names(metric: Mapping) -> Sequence[str]:
    """Name the results of mmdet's CocoMetric."""
    measured = metric.get('metric', 'bbox')
    items = [*(metric.get('metric_items') or COCO_ITEMS), *(['*'] if metric.get('classwise') else [])]
    kinds = [measured] if isinstance(measured, str) else measured
    return [f'{kind}_{item}' for kind in kinds if kind in ('bbox', 'segm') for item in items] + [
        '*' for kind in kinds if kind not in ('bbox', 'segm')
    ]


RESULTS = dict(
    Accuracy=_accuracy_names,
    SingleLabelMetric=_single_label_names,
    IoUMetric=_iou_names,
    CocoMetric=_coco_names,
    DumpResults=lambda metric: (),
)
