"""Draw losses, learning rate and metrics of one or several training runs, even if they were resumed.

    python tools/visualization/training_curves.py WORK_DIR [WORK_DIR ...] --out curves.png
    python tools/visualization/training_curves.py WORK_DIR --metrics 'coco/bbox_*' 'online/*'

A record is what mmengine logs at one time in `vis_data/scalars.json`. Training records have `loss`, `lr` and their
iteration as `step`; others hold metrics. Each is drawn at the training iteration that was logged last.
"""

import argparse
import fnmatch
import json
import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mixmae_mm.utils.arguments import expanded
from mixmae_mm.utils.errors import readable_errors

Record = dict[str, float]
SCALARS = 'vis_data/scalars.json'
METRICS = ('topk_precision/*', 'accuracy/*', '*/bbox_mAP', '*/segm_mAP', 'mIoU', 'online/*', '*-label/*')
ABOUT = ('step', 'epoch', 'iter', 'time', 'data_time', 'iteration')  # not metrics


def is_training(record: Record) -> bool:
    """Return whether a record is a training record."""
    return {'loss', 'lr', 'step'} <= record.keys()


def read_records(file: Path) -> list[Record]:
    """Read the records of one start of a run, and add the training `iteration` to each."""
    records: list[Record] = []
    iteration = 0
    for line in file.read_text().splitlines():
        try:
            record = json.loads(line)
        except json.JSONDecodeError:  # a truncated last line
            continue
        if is_training(record):
            iteration = record['step']
            record['lr'] = record.pop('base_lr', record['lr'])  # mmengine's `lr` is that of the first parameter group
        records.append(record | dict(iteration=iteration))
    return records


def read_run(work_dir: Path) -> list[Record]:
    """Read the records of all starts of a run; each replaces what earlier ones logged after its resumed iteration."""
    joined: list[Record] = []
    for file in sorted(work_dir.glob(f'*/{SCALARS}')) or work_dir.glob(SCALARS):
        records = read_records(file)
        first = next((record['step'] for record in records if is_training(record)), math.inf)
        joined = [record for record in joined if record['iteration'] < first] + records
    if not any(map(is_training, joined)):
        raise ValueError(f'no training loss in {work_dir}/*/{SCALARS}: expected the work_dir of a run that logged one')
    return joined


def panels_of(runs: Iterable[Sequence[Record]], patterns: Sequence[str]) -> dict[str, list[str]]:
    """List the logged values of each panel: the loss and its parts, what matches the patterns, and the base lr.

    Values that differ only in the number of the block share a panel.
    """
    logged = {name: None for records in runs for record in records for name in record if name not in ABOUT}
    for pattern in set(patterns) - set(METRICS):
        if not fnmatch.filter(logged, pattern):
            raise ValueError(f'no run logged anything like {pattern}; logged: {", ".join(logged)}')
    parts = fnmatch.filter(logged, 'loss_*')
    metrics = [name for name in logged if any(fnmatch.fnmatch(name, pattern) for pattern in patterns)]
    panels: dict[str, list[str]] = {}
    for name in ['loss', *(parts if len(parts) > 1 else ()), *metrics, 'lr']:
        panels.setdefault(re.sub(r'block_\d+$', 'block', name), []).append(name)
    return {panel: sorted(set(names), key=lambda name: (len(name), name)) for panel, names in panels.items()}


def smooth(values: list[float], share: float) -> list[float]:
    """Average each value with its neighbors, up to `share` of the run on either side; NaN and infinity are skipped.

    The window stays symmetric and shrinks towards the ends, so that the curve neither lags nor bends.
    """
    reach = round(share * len(values))
    averages = []
    for i in range(len(values)):
        near = min(reach, i, len(values) - 1 - i)
        finite = [value for value in values[i - near : i + near + 1] if math.isfinite(value)]
        averages.append(sum(finite) / len(finite) if finite else math.nan)
    return averages


def draw_runs(runs: dict[str, list[Record]], smoothing: float, panels: dict[str, list[str]]) -> Figure:
    """Draw each panel against iterations, in one color for each run."""
    heights = [3, *[1.5] * (len(panels) - 1)]
    figure = Figure(figsize=(8, 1 + 1.25 * sum(heights)), layout='constrained')
    columns = figure.subplots(len(panels), sharex=True, gridspec_kw=dict(height_ratios=heights))
    for axes, (title, values) in zip(columns, panels.items(), strict=True):
        axes.set_title(title, fontsize=10, loc='left')
        axes.grid(alpha=0.3)
        axes.spines[['top', 'right']].set_visible(False)
        for number, (run, records) in enumerate(runs.items()):
            for i, value in enumerate(values):
                label = run if len(values) == 1 else '' if number else value.rpartition('/')[2]
                style = dict(color=f'C{number}', alpha=(i + 1) / len(values), label=label)  # later blocks are darker
                _plot(axes, [record for record in records if value in record], value, smoothing, style)
        if title == 'loss':
            axes.legend(frameon=False)
        elif len(values) > 1:
            axes.legend(fontsize=6, frameon=False, loc='upper left', bbox_to_anchor=(1, 1.2))
    columns[-1].set_xlabel('iteration')
    return figure


def _plot(axes: Axes, records: list[Record], value: str, smoothing: float, style: dict) -> None:
    """Draw training values raw (pale) and smoothed; draw metrics with markers, not smoothed."""
    x, y = ([record[name] for record in records] for name in ('iteration', value))
    if any(map(is_training, records)):
        axes.plot(x, y, color=style['color'], alpha=0.2, linewidth=1)
        axes.plot(x, smooth(y, smoothing), **style)
    else:
        axes.plot(x, y, marker='.', **style)


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('work_dirs', nargs='+', type=expanded, help='work_dirs of runs')
    parser.add_argument('--out', type=expanded, default=Path('curves.png'), help='image to write (%(default)s)')
    parser.add_argument('--smoothing', type=float, default=0.02, help='share averaged either side (%(default)s)')
    text = f'patterns of metrics that get a panel; none for no panels ({" ".join(METRICS)})'
    parser.add_argument('--metrics', nargs='*', default=METRICS, help=text)
    parser.add_argument('--debug', action='store_true', help='show errors with their whole traceback')
    args = parser.parse_args(arguments)
    if not 0 <= args.smoothing <= 0.5:
        parser.error(f'--smoothing {args.smoothing}: expected 0 to 0.5')
    return args


def main(arguments: list[str] | None = None) -> None:
    """Read, draw, and print a summary."""
    args = parse_args(arguments)
    with readable_errors(args.debug):
        names = [folder.resolve().name for folder in args.work_dirs]
        if len({*names}) < len(names):
            names = list(map(str, args.work_dirs))
        runs = {name: read_run(folder) for name, folder in zip(names, args.work_dirs, strict=True)}
        panels = panels_of(runs.values(), args.metrics)
        args.out.parent.mkdir(parents=True, exist_ok=True)
        draw_runs(runs, args.smoothing, panels).savefig(args.out, dpi=120)
    for name, records in runs.items():
        print(name)
        for value in (value for values in panels.values() for value in values):
            logged = [record[value] for record in records if value in record]
            if logged:
                bounds = f'{min(logged):.4g} to {max(logged):.4g}'
                print(
                    f'    {value}: {logged[0]:.4g} at first, {logged[-1]:.4g} at last, {bounds} ({len(logged)} records)'
                )
    print(args.out)


if __name__ == '__main__':
    main()
