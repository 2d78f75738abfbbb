"""Draw losses, learning rate and what validation found of training runs, also of resumed ones, several side by side.

    python tools/visualization/training_curves.py WORK_DIR [WORK_DIR ...] --out curves.png
    python tools/visualization/training_curves.py WORK_DIR --metrics 'coco/bbox_*' 'online/*'

Where a loss has parts, they are drawn too; the TopK precision of blocks, which MixedAE logs, gets a panel of its own,
and so does each metric. What is read, and how: mixmae_mm/visualization/run_logs.py.
"""

import argparse
import math
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use('Agg')

# isort: split
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from mixmae_mm.utils.arguments import expanded
from mixmae_mm.utils.errors import readable_errors
from mixmae_mm.visualization.run_logs import (
    METRICS,
    Record,
    is_training,
    iterations_per_epoch,
    metrics_of,
    name_runs,
    named,
    place_in_iterations,
    read_chance,
    read_run,
)

PRECISION = 'topk_precision/block_'
STYLES = ('--', ':', '-.', (0, (9, 2)), (0, (1, 4)), (0, (7, 1, 1, 1, 1, 1)))  # of the parts of a loss
LABEL_GAP = 0.045  # between the numbers at the ends of precision curves


def smooth(values: list[float], share: float) -> list[float]:
    """Average each value with its neighbors, up to `share` of the run on either side; NaN and infinity are skipped.

    The window is symmetric, also at the ends, where it shrinks: so the curve neither lags nor bends.
    """
    reach = round(share * len(values))
    averages = []
    for i in range(len(values)):
        near = min(reach, i, len(values) - 1 - i)
        finite = [value for value in values[i - near : i + near + 1] if math.isfinite(value)]
        averages.append(sum(finite) / len(finite) if finite else math.nan)
    return averages


class Curves:
    """The panels of a figure, and how far an iteration lies to the right.

    Args:
        runs: What is to be drawn.
        smoothing: As in `smooth`.
        metrics: Which of what was found gets a panel, two in a row.
    """

    def __init__(self, runs: dict[str, list[Record]], smoothing: float, metrics: Sequence[str] = ()) -> None:
        self.smoothing = smoothing
        self.lengths = {name: iterations_per_epoch(records) for name, records in runs.items()}
        self.by_epoch = None not in self.lengths.values()
        precise = any(named(records, PRECISION) for records in runs.values())
        pairs = [[*metrics[i : i + 2], metrics[i]][:2] for i in range(0, len(metrics), 2)]
        middle = [['precisions'] * 2, *pairs] if precise else pairs
        heights = [3, *([2] if precise else []), *[1.5] * len(pairs), 1]
        layout = [['losses'] * 2, *middle, ['rates'] * 2]
        size = (8, 1 + 1.25 * sum(heights))
        self.figure, panels = pyplot.subplot_mosaic(
            layout, sharex=True, figsize=size, height_ratios=heights, layout='tight'
        )
        self.losses, self.rates = panels['losses'], panels['rates']
        self.precisions = panels.get('precisions')
        self.metrics = {name: panels[name] for name in metrics}
        for axes in self.metrics.values():
            axes.tick_params(labelbottom=True)  # where there are two, they are no continuation of what is below
        for axes in panels.values():
            axes.grid(alpha=0.3)
            axes.spines[['top', 'right']].set_visible(False)

    def draw(
        self, axes: Axes, run: str, records: list[Record], value: str, raw: bool = False, **style: object
    ) -> Line2D:
        """Draw a logged value against epochs or iterations, smoothed unless `raw`."""
        length = self.lengths[run]
        there = [record for record in records if value in record]
        y = [record[value] for record in there]
        x = [place_in_iterations(record, length) / (length if self.by_epoch else 1) for record in there]
        return axes.plot(x, y if raw else smooth(y, self.smoothing), **style)[0]


def draw_runs(
    runs: dict[str, list[Record]],
    smoothing: float,
    chances: dict[str, float | None] | None = None,
    patterns: Sequence[str] = METRICS,
) -> pyplot.Figure:
    """Draw losses (raw faint, smoothed bold, parts thin), TopK precision if it is logged, metrics, and learning rate.

    Every run has a color. `chances` tells the precision of guessing in each run, if it is known; `patterns` which
    metrics are drawn.
    """
    curves = Curves(runs, smoothing, metrics_of([one for records in runs.values() for one in records], patterns))
    parts = _draw_losses(curves, runs)
    if curves.precisions is not None:
        _draw_precisions(curves, runs, set((chances or {}).values()) - {None})
    for number, (name, records) in enumerate(runs.items()):
        curves.draw(curves.rates, name, records, rate_of(records), raw=True, color=f'C{number}', linewidth=1.5)
        for metric, axes in curves.metrics.items():
            curves.draw(axes, name, records, metric, raw=True, color=f'C{number}', marker='.', linewidth=1.5)
            axes.set_title(metric, fontsize=10, loc='left')
    curves.losses.set(ylabel='training loss')
    curves.rates.set(ylabel='base learning rate', xlabel='epoch' if curves.by_epoch else 'iteration', ylim=(0, None))
    styles = [
        Line2D([], [], color='black', linewidth=1.2, linestyle=style, label=part) for part, style in parts.items()
    ]
    runs_named = curves.losses.get_legend_handles_labels()[0]
    curves.losses.legend(handles=[*runs_named, *styles], frameon=False, handlelength=3)
    return curves.figure


def rate_of(records: list[Record]) -> str:
    """Name what holds the base rate: where mmengine logged one, its own `lr` is that of the first parameter group."""
    return 'base_lr' if named(records, 'base_lr') else 'lr'


def _draw_losses(curves: Curves, runs: dict[str, list[Record]]) -> dict[str, str | tuple]:
    """Draw the loss of each run, and its parts if it has several; give each part's line style."""
    styles: dict[str, str | tuple] = {}
    for number, (name, records) in enumerate(runs.items()):
        color = dict(color=f'C{number}')
        curves.draw(curves.losses, name, records, 'loss', raw=True, alpha=0.25, linewidth=1, **color)
        curves.draw(curves.losses, name, records, 'loss', linewidth=2, label=name, **color)
        parts = named(records, 'loss_')
        for part in parts if len(parts) > 1 else ():
            style = styles.setdefault(part.removeprefix('loss_'), STYLES[len(styles) % len(STYLES)])
            curves.draw(curves.losses, name, records, part, linewidth=1.2, linestyle=style, **color)
    return styles


def _draw_precisions(curves: Curves, runs: dict[str, list[Record]], chances: set[float]) -> None:
    """Draw a curve for each block, the later the darker, its number at the end; chance as a dashed line."""
    axes, ends = curves.precisions, defaultdict(list)
    for number, (name, records) in enumerate(runs.items()):
        blocks = named(records, PRECISION)
        for order, block in enumerate(blocks):
            depth = dict(color=f'C{number}', alpha=0.35 + 0.65 * (order + 1) / len(blocks))
            x, y = curves.draw(axes, name, records, block, linewidth=1.5, **depth).get_data()
            ends[x[-1]].append((y[-1], block.removeprefix(PRECISION), f'C{number}'))
    for x, labels in ends.items():
        _label(axes, x, sorted(labels, reverse=True))
    for chance in chances:
        axes.axhline(chance, color='black', linewidth=1, linestyle='--')
        below_right = dict(xytext=(0, -3), textcoords='offset points', ha='right', va='top', fontsize=8)
        axes.annotate('chance', (0.99, chance), xycoords=axes.get_yaxis_transform(), **below_right)
    axes.set(ylabel='TopK precision by block', ylim=(0, 1.02))


def _label(axes: Axes, x: float, falling: list[tuple[float, str, str]]) -> None:
    """Write the texts of curves that end at x, given as (y, text, color) from the highest down."""
    heights = spread([y for y, _, _ in falling], LABEL_GAP)
    for y, (_, text, color) in zip(heights, falling, strict=True):
        axes.annotate(text, (x, y), (4, 0), textcoords='offset points', color=color, fontsize=7, va='center')


def spread(falling: list[float], gap: float) -> list[float]:
    """Lower numbers, which come from the largest down, until each is a gap below the one before it."""
    placed: list[float] = []
    for value in falling:
        placed.append(min(value, placed[-1] - gap) if placed else value)
    return placed


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
        parser.error(f'--smoothing {args.smoothing}: give a number from 0 to 0.5')
    return args


def find_metrics(runs: dict[str, list[Record]], patterns: Sequence[str]) -> list[str]:
    """List the metrics that are asked for.

    Raises:
        ValueError: a pattern of the user's that nothing matches.
    """
    records = [one for of_run in runs.values() for one in of_run]
    unmet = [pattern for pattern in patterns if patterns is not METRICS and not metrics_of(records, [pattern])]
    if unmet:
        logged = ', '.join(metrics_of(records, ['*']))
        raise ValueError(f'no run logged anything like {unmet[0]}; what they logged: {logged}')
    return metrics_of(records, patterns)


def tell(name: str, records: list[Record], metrics: Sequence[str]) -> None:
    """Print how a run began and ended, and the last of what was found."""
    training = [record for record in records if is_training(record)]
    first, last = training[0], training[-1]
    losses = f'loss {first["loss"]:.4f} at iteration {first["step"]}, {last["loss"]:.4f} at {last["step"]}'
    print(f'{name}: {losses} ({len(training)} records)')
    for metric in metrics:
        values = [record[metric] for record in records if metric in record]
        if values:
            print(f'    {metric}: {values[-1]:.4g} at the end, {max(values):.4g} at most ({len(values)} records)')


def main(arguments: list[str] | None = None) -> None:
    """Run from the command line; a mistake in the arguments ends it with one message."""
    args = parse_args(arguments)
    with readable_errors(args.debug):
        folders = name_runs(args.work_dirs)
        runs = {name: read_run(folder) for name, folder in folders.items()}
        metrics = find_metrics(runs, args.metrics)
        precise = [name for name, records in runs.items() if named(records, PRECISION)]
        chances = {name: read_chance(folders[name]) for name in precise}
        args.out.parent.mkdir(parents=True, exist_ok=True)
        draw_runs(runs, args.smoothing, chances, args.metrics).savefig(args.out, dpi=120)
    for name, records in runs.items():
        tell(name, records, metrics)
    print(args.out)


if __name__ == '__main__':
    main()
