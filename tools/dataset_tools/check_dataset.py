"""Print in plain words what is wrong with a dataset, before hours are lost; nothing is written.

    python tools/dataset_tools/check_dataset.py FOLDER [--layout imagenet|coco|ade20k|images] [--quick] [--json]
    python tools/dataset_tools/check_dataset.py --config CONFIG      what the config's three loaders would read
    python tools/dataset_tools/check_dataset.py --ann FILE --images FOLDER      COCO's JSON, wherever it lies

Without --layout, the tool looks for these layouts and checks all that it finds, or the images alone if it finds none:

    imagenet   train/<class>/, val/<class>/; or meta/train.txt, meta/val.txt beside them
    coco       annotations/instances_<split>.json, <split>.json or <split>/_annotations.coco.json
    ade20k     images and index masks in images/<split> and annotations/<split> (ADE20K, unless --num-classes is given),
               img_dir/<split> and ann_dir/<split>, images/<split> and masks/<split>, ...; --num-classes N for N classes

The exit status is 0 if there are no errors, even with warnings; 1 if there are errors; 2 for wrong arguments.
"""

import argparse
import json
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from time import perf_counter

import mixmae_mm
from mixmae_mm.utils import compat

compat.apply()  # before torch and the libraries that it fixes

from dataset_checks.folders import LAYOUTS, coco_split, find_splits
from dataset_checks.from_config import config_splits
from dataset_checks.split import Split
from rich.console import Console
from rich.table import Table

from mixmae_mm.engine.checks import check_config
from mixmae_mm.engine.checks.classes import Classes, compare_splits
from mixmae_mm.engine.checks.report import Finding, Problem, Report
from mixmae_mm.utils.arguments import Settings, counted
from mixmae_mm.utils.config_keys import check_names
from mixmae_mm.utils.errors import readable_errors
from mixmae_mm.utils.launching import load_config
from mixmae_mm.utils.names import expand


def counts_table(kind: str, splits: dict[str, dict[str, int | str]]) -> Table:
    """Make a table of the counts, with a row for each split."""
    columns = list(dict.fromkeys(column for counts in splits.values() for column in counts))
    table = Table('split', title={'ade20k': 'images and masks'}.get(kind, kind))
    for column in columns:
        table.add_column(column.replace('_', ' '), justify='right')
    for name, counts in splits.items():
        cells = (counts.get(column, '') for column in columns)
        table.add_row(name, *(f'{cell:,}' if isinstance(cell, int) else cell for cell in cells))
    return table


def print_report(report: Report, problems: list[Problem], quick: bool) -> None:
    """Print tables, problems and the verdict."""
    console = Console(markup=False, highlight=False)
    if not console.is_terminal:
        console.width = 120
    for kind, splits in report.counts.items():
        console.print(counts_table(kind, splits))
    for problem in problems:
        style = 'bold red' if problem.severity == 'error' else 'yellow'
        console.print(f'{problem.severity}: {problem.text()}', style=style, soft_wrap=True)
    kinds = Counter(severity for severity, _ in {(problem.severity, problem.what) for problem in problems})
    parts = [f'{count} kind{"s" * (count > 1)} of {severity}' for severity, count in sorted(kinds.items())]
    headers = ' Headers only: photos were not decoded, labels not checked.' if quick else ''
    console.print(f'{", ".join(parts) or "Nothing is wrong"}.{headers}')


def read_arguments(arguments: list[str] | None) -> tuple[argparse.Namespace, list[Callable[[], Split]]]:
    """Read the command line and find what to check; exit with status 2 if that is impossible."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=f'mixmae_mm {mixmae_mm.__version__}',
    )
    parser.add_argument('folder', nargs='?', type=expand, help='folder of a dataset')
    parser.add_argument('--config', type=expand, help='check what the loaders of this config read')
    parser.add_argument('--cfg-options', nargs='+', action=Settings, help='config settings to override: a.b=value')
    parser.add_argument('--ann', type=expand, help="a JSON file in COCO's format")
    parser.add_argument('--images', type=expand, help='the folder its file names are relative to')
    parser.add_argument('--layout', choices=LAYOUTS, help='(found by itself)')
    parser.add_argument('--num-classes', type=counted, default=0, help='classes in masks, whose labels start at 0')
    parser.add_argument('--quick', action='store_true', help='read the headers of images only')
    parser.add_argument('--json', action='store_true', help='print JSON')
    parser.add_argument('--workers', type=counted, default=cores, help='processes (one a core)')
    parser.add_argument('--debug', action='store_true', help='show errors with their whole traceback')
    options = parser.parse_args(arguments)
    try:
        return options, _asked_for(options)
    except (ValueError, OSError, ImportError, SyntaxError) as error:
        parser.error(str(error))


def _asked_for(options: argparse.Namespace) -> list[Callable[[], Split]]:
    """Find what to check; raise ValueError if options contradict each other."""
    if sum(map(bool, (options.folder, options.config, options.ann))) != 1 or bool(options.ann) != bool(options.images):
        raise ValueError('name one of: a folder, --config CONFIG, or --ann FILE with --images FOLDER')
    if not options.folder and (options.layout or options.num_classes):
        raise ValueError('--layout and --num-classes are for a folder: a config or JSON file states them itself')
    if options.cfg_options and not options.config:
        raise ValueError('--cfg-options go with --config')
    if options.ann:
        return [partial(coco_split, Path(options.ann).stem, options.ann, options.images)]
    if options.folder:
        return find_splits(options.folder, options.layout, options.num_classes)
    options.config = load_config(options.config, options.cfg_options)
    options.doubts = check_names(options.config)
    return config_splits(options.config)


def main(arguments: list[str] | None = None) -> int:
    """Check and report; return the exit status."""
    start = perf_counter()
    options, found = read_arguments(arguments)
    report = Report(options.folder or options.images or '')
    with readable_errors(options.debug):
        splits = [make() for make in found]
        for split in splits:
            split.check(report, options.workers, options.quick)
        if options.config:
            doubts = (doubt.rpartition(': ') for doubt in options.doubts)
            report.add('config', (Finding('warning', what, advice) for what, _, advice in doubts))
            check_config(options.config, report=report)
        else:
            classes = [Classes(split.name, tuple(split.classes)) for split in splits if split.classes]
            report.add(', '.join(one.split for one in classes), compare_splits(classes))
    problems = report.problems()
    if options.json:
        found, seconds = [asdict(problem) for problem in problems], round(perf_counter() - start, 1)
        print(json.dumps(dict(counts=report.counts, problems=found, seconds=seconds), indent=2))
    else:
        print_report(report, problems, options.quick)
    return int(any(problem.severity == 'error' for problem in problems))


if __name__ == '__main__':
    raise SystemExit(main())
