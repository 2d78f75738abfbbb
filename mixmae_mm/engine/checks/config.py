"""Problems that a config, its lists and its folders reveal before a run builds anything."""

from collections.abc import Sequence

from mmengine.config import Config, ConfigDict

from mixmae_mm.engine.checks.classes import Classes, compare_numbers, compare_splits
from mixmae_mm.engine.checks.metrics import metric_findings
from mixmae_mm.engine.checks.numbers import metric_numbers, metrics, model_numbers
from mixmae_mm.engine.checks.report import Report
from mixmae_mm.engine.checks.source import Source
from mixmae_mm.engine.checks.sources import open_dataset, settings_of

ALL = ('train', 'val', 'test')


def check_config(config: Config, splits: Sequence[str] = ALL, report: Report | None = None) -> Report:
    """Compare classes across folders, lists, JSON, splits, heads, preprocessor and metrics; and what metrics need.

    Args:
        config: The config.
        splits: Those that will be read. Of the others only names of classes are compared, where they are there.
        report: What is found is added here.
    """
    report = report or Report()
    found, numbers, deeper = [], model_numbers(config), 0
    for where, settings in _distinct(config):
        dataset = open_dataset(settings, config.get('default_scope'))
        if dataset is None:
            continue
        source = Source(settings, dataset)
        read = ', '.join(split for split in where if split in splits)
        report.add(read, source.findings(read, numbers) if read else ())
        found += [Classes(split, source.names()) for split in where if source.names()]
        deeper = deeper or source.deeper()
    _compare(config, splits, found, numbers, deeper, report)
    for split in splits:
        report.add(split, metric_findings(config, split, numbers))
    return report


def _distinct(config: Config) -> list[tuple[list[str], ConfigDict]]:
    """Return the settings of all datasets, each once, with the splits that read it."""
    found = []
    for split in ALL:
        for settings in settings_of(config, split):
            same = next((where for where, others in found if others == settings), None)
            if same is None:
                found.append(([split], settings))
            elif split not in same:
                same.append(split)
    return found


def _compare(
    config: Config, splits: Sequence[str], found: list[Classes], numbers: dict[str, int], deeper: int, report: Report
) -> None:
    """Compare the classes of all splits, and their numbers with those in settings."""
    read = _joined([classes for classes in found if classes.split in ('train', *splits)])
    report.add(', '.join(classes.split for classes in read), compare_splits(read))
    for other in _joined([classes for classes in found if classes.split not in ('train', *splits)]):
        findings = compare_splits([*read[:1], other])  # of no concern to this run, but to a later one
        report.add(other.split, ((fault._replace(severity='warning'), case) for fault, case in findings))
    for split in splits:
        numbers = numbers | metric_numbers(config, split)
    exact = any(str(one.get('type')).endswith('CocoMetric') for split in splits for one in metrics(config, split))
    for where, fault in compare_numbers(read, numbers, deeper, exact):
        report.add(where, [(fault, '')])


def _joined(found: list[Classes]) -> list[Classes]:
    """Join the splits that have the same classes."""
    where = {}
    for classes in found:
        where.setdefault(classes.names, []).append(classes.split)
    return [Classes(', '.join(dict.fromkeys(splits)), names) for names, splits in where.items()]
