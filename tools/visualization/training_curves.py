"""Draw loss and learning rate of training runs, also of resumed ones, which log to several folders.

    python tools/visualization/training_curves.py WORK_DIR [WORK_DIR ...] --out curves.png

Where a loss has parts, they are drawn too; the TopK precision of blocks, which MixedAE logs, gets a panel of its own.
A record is what mmengine logs of one interval: a dict with `loss`, `lr`, `step` (iterations so far), maybe `epoch`,
`loss_*` and `topk_precision/block_*`.
"""

import argparse
import json
import math
import re
import runpy
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import matplotlib

matplotlib.use('Agg')

# isort: split
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

Record = dict[str, float]
SCALARS, CONFIG = 'vis_data/scalars.json', 'vis_data/config.py'
PRECISION = 'topk_precision/block_'
STYLES = ('--', ':', '-.')  # of the parts of a loss
LABEL_GAP = 0.045  # between the numbers at the ends of precision curves


def read_records(file: Path) -> list[Record]:
    """Read the training records of one start of a run; lines of validation, and a last one cut off, are left out."""
    records = []
    for line in file.read_text().splitlines():
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            continue
        if {'loss', 'lr', 'step'} <= record.keys():
            records.append(record)
    return records


def join_starts(starts: Iterable[list[Record]]) -> list[Record]:
    """Join what the starts of a run logged, first to last: from where a later one goes on, it counts."""
    joined = []
    for records in starts:
        if records:
            joined = [record for record in joined if record['step'] < records[0]['step']] + records
    return joined


def read_run(work_dir: Path) -> list[Record]:
    """Read all training records of a work folder.

    Raises:
        ValueError: there are none.
    """
    files = sorted(work_dir.glob(f'*/{SCALARS}')) or list(work_dir.glob(SCALARS))
    records = join_starts(read_records(file) for file in files)
    if not records:
        raise ValueError(f'no training loss in {work_dir}/*/{SCALARS}: give the work folder of a run that logged one')
    return records


def iterations_per_epoch(records: list[Record]) -> int | None:
    """Tell how many iterations an epoch has, or None for runs that count iterations only.

    Logging stops short of an epoch's end by less than an interval, so the later the epoch, the closer the ratio; it
    never exceeds the true number.
    """
    ratios = [record['step'] / record['epoch'] for record in records if record.get('epoch')]
    return math.ceil(max(ratios)) if len(ratios) == len(records) else None


def smooth(values: list[float], share: float) -> list[float]:
    """Average each value with its neighbours, up to `share` of the run on either side; NaN and infinity are skipped.

    The window is symmetric, also at the ends, where it shrinks: so the curve neither lags nor bends.
    """
    reach = round(share * len(values))
    averages = []
    for i in range(len(values)):
        near = min(reach, i, len(values) - 1 - i)
        finite = [value for value in values[i - near : i + near + 1] if math.isfinite(value)]
        averages.append(sum(finite) / len(finite) if finite else math.nan)
    return averages


def read_chance(work_dir: Path) -> float | None:
    """Tell the TopK precision that guessing has: one over the sources, or None if they do not share equally."""
    files = sorted(work_dir.glob(f'*/{CONFIG}')) or list(work_dir.glob(CONFIG))
    mixing = runpy.run_path(str(files[-1]))['model']['data_preprocessor'] if files else {}
    even = 'num_sources' in mixing and not (mixing.get('shares') or mixing.get('hidden_ratio'))
    return 1 / mixing['num_sources'] if even else None


def named(records: list[Record], start: str) -> list[str]:
    """List the logged values whose names begin so, by the number at their end, else as logged."""
    names = dict.fromkeys(name for record in records for name in record if name.startswith(start))
    return sorted(names, key=lambda name: int((re.findall(r'\d+$', name) or [0])[0]))


class Curves:
    """The panels of a figure, and how far an iteration lies to the right.

    Args:
        runs: What is to be drawn.
        smoothing: As in `smooth`.
    """

    def __init__(self, runs: dict[str, list[Record]], smoothing: float) -> None:
        self.smoothing = smoothing
        self.lengths = {name: iterations_per_epoch(records) for name, records in runs.items()}
        self.by_epoch = None not in self.lengths.values()
        precise = any(named(records, PRECISION) for records in runs.values())
        size, heights = ((8, 8.5), (3, 2, 1)) if precise else ((8, 6), (3, 1))
        self.figure, panels = pyplot.subplots(
            len(heights), sharex=True, figsize=size, height_ratios=heights, layout='tight'
        )
        self.losses, self.rates = panels[0], panels[-1]
        self.precisions = panels[1] if precise else None
        for axes in panels:
            axes.grid(alpha=0.3)
            axes.spines[['top', 'right']].set_visible(False)

    def draw(
        self, axes: Axes, run: str, records: list[Record], value: str, raw: bool = False, **style: object
    ) -> Line2D:
        """Draw a logged value against epochs or iterations, smoothed unless `raw`."""
        length = self.lengths[run] if self.by_epoch else 1
        there = [record for record in records if value in record]
        y = [record[value] for record in there]
        x = [record['step'] / length for record in there]
        return axes.plot(x, y if raw else smooth(y, self.smoothing), **style)[0]


def draw_runs(
    runs: dict[str, list[Record]], smoothing: float, chances: dict[str, float | None] | None = None
) -> pyplot.Figure:
    """Draw losses (raw faint, smoothed bold, parts thin), TopK precision if it is logged, and learning rate.

    Every run has a colour. `chances` tells the precision of guessing in each run, if it is known.
    """
    curves = Curves(runs, smoothing)
    parts = _draw_losses(curves, runs)
    if curves.precisions is not None:
        _draw_precisions(curves, runs, set((chances or {}).values()) - {None})
    for number, (name, records) in enumerate(runs.items()):
        curves.draw(curves.rates, name, records, 'lr', raw=True, color=f'C{number}', linewidth=1.5)
    curves.losses.set(ylabel='training loss')
    curves.rates.set(ylabel='learning rate', xlabel='epoch' if curves.by_epoch else 'iteration', ylim=(0, None))
    styles = [
        Line2D([], [], color='black', linewidth=1.2, linestyle=style, label=part) for part, style in parts.items()
    ]
    curves.losses.legend(handles=[*curves.losses.get_legend_handles_labels()[0], *styles], frameon=False)
    return curves.figure


def _draw_losses(curves: Curves, runs: dict[str, list[Record]]) -> dict[str, str]:
    """Draw the loss of each run, and its parts if it has several; give each part's line style."""
    styles: dict[str, str] = {}
    for number, (name, records) in enumerate(runs.items()):
        colour = dict(color=f'C{number}')
        curves.draw(curves.losses, name, records, 'loss', raw=True, alpha=0.25, linewidth=1, **colour)
        curves.draw(curves.losses, name, records, 'loss', linewidth=2, label=name, **colour)
        parts = named(records, 'loss_')
        for part in parts if len(parts) > 1 else ():
            style = styles.setdefault(part.removeprefix('loss_'), STYLES[len(styles) % len(STYLES)])
            curves.draw(curves.losses, name, records, part, linewidth=1.2, linestyle=style, **colour)
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
    """Write the texts of curves that end at x, given as (y, text, colour) from the highest down."""
    heights = spread([y for y, _, _ in falling], LABEL_GAP)
    for y, (_, text, colour) in zip(heights, falling, strict=True):
        axes.annotate(text, (x, y), (4, 0), textcoords='offset points', color=colour, fontsize=7, va='center')


def spread(falling: list[float], gap: float) -> list[float]:
    """Lower numbers, which come from the largest down, until each is a gap below the one before it."""
    placed: list[float] = []
    for value in falling:
        placed.append(min(value, placed[-1] - gap) if placed else value)
    return placed


def name_runs(folders: list[Path]) -> dict[str, Path]:
    """Name each run by its folder, or by its whole path where two folders have one name."""
    names = [folder.resolve().name for folder in folders]
    pairs = zip(names, folders, strict=True)
    return {name if names.count(name) == 1 else str(folder): folder for name, folder in pairs}


def main(arguments: list[str] | None = None) -> None:
    """Run from the command line; a mistake in the arguments ends it with one line."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('work_dirs', nargs='+', type=Path, help='work folders of runs')
    parser.add_argument('--out', type=Path, default=Path('curves.png'), help='picture to write (%(default)s)')
    parser.add_argument('--smoothing', type=float, default=0.02, help='share averaged either side (%(default)s)')
    args = parser.parse_args(arguments)
    if not 0 <= args.smoothing <= 0.5:
        parser.error(f'--smoothing {args.smoothing}: give a number from 0 to 0.5')
    try:
        runs = {name: read_run(folder) for name, folder in name_runs(args.work_dirs).items()}
        precise = [name for name, records in runs.items() if named(records, PRECISION)]
        chances = {name: read_chance(folder) for name, folder in name_runs(args.work_dirs).items() if name in precise}
        args.out.parent.mkdir(parents=True, exist_ok=True)
        draw_runs(runs, args.smoothing, chances).savefig(args.out, dpi=120)
    except (ValueError, OSError) as error:
        raise SystemExit(f'training_curves: {error}') from error
    for name, records in runs.items():
        first, last = records[0], records[-1]
        losses = f'loss {first["loss"]:.4f} at iteration {first["step"]}, {last["loss"]:.4f} at {last["step"]}'
        print(f'{name}: {losses} ({len(records)} records)')
    print(args.out)


if __name__ == '__main__':
    main()
