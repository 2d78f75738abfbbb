"""Problems that a config, its lists and its folders reveal before a run builds anything."""

from collections import Counter
from collections.abc import Sequence

from mmengine.config import Config

from mixmae_mm.engine.checks.classes import Classes, compare_numbers, compare_splits
from mixmae_mm.engine.checks.datasets import class_names, dataset_findings, distinct_settings, json_labels, open_dataset
from mixmae_mm.engine.checks.left_out import left_out_findings
from mixmae_mm.engine.checks.metrics import class_numbers, metric_findings, metrics
from mixmae_mm.engine.checks.report import Report
from mixmae_mm.engine.checks.settings import settings_findings

ALL = ('train', 'val', 'test')


def check_config(config: Config, splits: Sequence[str] = ALL, report: Report | None = None) -> Report:
    """Compare classes across folders, lists, JSON, splits, heads, preprocessor and metrics; check what metrics need.

    Settings of datasets that would be misread, or that nothing reads, and images that are left out because of their
    extension are reported too.

    Args:
        config: The config.
        splits: Splits that will be read. Of the other splits, only class names are compared, if they are known.
        report: Report to add the findings to.
    """
    report = report or Report()
    outputs, named = min(class_numbers(config).values(), default=0), {}
    for where, settings in distinct_settings(config, ALL):
        dataset = open_dataset(settings, config.get('default_scope'))
        read = ', '.join(split for split in where if split in splits)
        labels = json_labels(dataset) if dataset is not None else Counter()  # which names the classes, too
        report.add(read, settings_findings(settings, dataset) if read else ())
        if dataset is None:
            continue
        report.add(read, dataset_findings(dataset, settings, read, outputs, labels) if read else ())
        report.add(read, left_out_findings(dataset) if read else ())
        for split in where if (names := class_names(dataset)) else ():
            named.setdefault((split in ('train', *splits), names), {})[split] = None
    found = [(is_read, Classes(', '.join(where), names)) for (is_read, names), where in named.items()]
    read = [classes for is_read, classes in found if is_read]
    report.add(', '.join(classes.split for classes in read), compare_splits(read))
    for other in (classes for is_read, classes in found if not is_read):
        findings = compare_splits([*read[:1], other])  # of no concern to this run, but to a later one
        report.add(other.split, (finding._replace(severity='warning') for finding in findings))
    exact = any(str(one.get('type')).endswith('CocoMetric') for split in splits for one in metrics(config, split))
    for where, finding in compare_numbers(read, class_numbers(config, *splits), exact):
        report.add(where, [finding])
    known = {(problem.severity, problem.what, problem.advice) for problem in report.problems()}
    for split in splits:  # a metric often reads the JSON of its dataset
        report.add(split, (one for one in metric_findings(config, split, outputs) if one[:3] not in known))
    return report
