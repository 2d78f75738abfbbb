"""Problems that a config, its lists and its folders reveal before a run builds anything."""

from collections.abc import Sequence

from mmengine.config import Config

from mixmae_mm.engine.checks.classes import Classes, compare_numbers, compare_splits
from mixmae_mm.engine.checks.datasets import (
    class_names,
    dataset_findings,
    distinct_settings,
    json_labels,
    open_dataset,
)
from mixmae_mm.engine.checks.metrics import class_numbers, metric_findings, metrics
from mixmae_mm.engine.checks.report import Report

ALL = ('train', 'val', 'test')


def check_config(config: Config, splits: Sequence[str] = ALL, report: Report | None = None) -> Report:
    """Compare classes across folders, lists, JSON, splits, heads, preprocessor and metrics; and what metrics need.

    Args:
        config: The config.
        splits: Those that will be read. Of the others only names of classes are compared, where they are there.
        report: What is found is added here.
    """
    report = report or Report()
    found, numbers = [], class_numbers(config)
    for where, settings in distinct_settings(config, ALL):
        dataset = open_dataset(settings, config.get('default_scope'))
        if dataset is None:
            continue
        labels, read = json_labels(dataset), ', '.join(split for split in where if split in splits)
        report.add(read, dataset_findings(dataset, settings, read, numbers, labels) if read else ())
        found += [Classes(split, class_names(dataset)) for split in where if class_names(dataset)]
    read = _joined([classes for classes in found if classes.split in ('train', *splits)])
    report.add(', '.join(classes.split for classes in read), compare_splits(read))
    for other in _joined([classes for classes in found if classes.split not in ('train', *splits)]):
        findings = compare_splits([*read[:1], other])  # of no concern to this run, but to a later one
        report.add(other.split, (finding._replace(severity='warning') for finding in findings))
    exact = any(str(one.get('type')).endswith('CocoMetric') for split in splits for one in metrics(config, split))
    for where, finding in compare_numbers(read, class_numbers(config, *splits), exact):
        report.add(where, [finding])
    for split in splits:
        report.add(split, metric_findings(config, split, numbers))
    return report


def _joined(found: list[Classes]) -> list[Classes]:
    """Join the splits that have the same classes."""
    where = {}
    for classes in found:
        where.setdefault(classes.names, []).append(classes.split)
    return [Classes(', '.join(dict.fromkeys(splits)), names) for names, splits in where.items()]
