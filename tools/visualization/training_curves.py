"""Draw loss and learning rate of training runs, also of resumed ones, which log to several folders.

    python tools/visualization/training_curves.py WORK_DIR [WORK_DIR ...] --out curves.png

A record is what mmengine logs of one interval: a dict with `loss`, `lr`, `step` (iterations so far), maybe `epoch`.
"""

import argparse
import json
import math
from collections.abc import Iterable
from pathlib import Path

import matplotlib

matplotlib.use('Agg')

# isort: split
from matplotlib import pyplot

Record = dict[str, float]
SCALARS = 'vis_data/scalars.json'


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


def draw_runs(runs: dict[str, list[Record]], smoothing: float) -> pyplot.Figure:
    """Draw loss (raw faint, smoothed bold) above learning rate, a colour a run."""
    figure, (losses, rates) = pyplot.subplots(2, sharex=True, figsize=(8, 6), height_ratios=(3, 1), layout='tight')
    lengths = {name: iterations_per_epoch(records) for name, records in runs.items()}
    by_epoch = None not in lengths.values()
    for number, (name, records) in enumerate(runs.items()):
        x = [record['step'] / (lengths[name] if by_epoch else 1) for record in records]
        loss = [record['loss'] for record in records]
        losses.plot(x, loss, color=f'C{number}', alpha=0.25, linewidth=1)
        losses.plot(x, smooth(loss, smoothing), color=f'C{number}', linewidth=2, label=name)
        rates.plot(x, [record['lr'] for record in records], color=f'C{number}', linewidth=1.5)
    losses.set(ylabel='training loss')
    rates.set(ylabel='learning rate', xlabel='epoch' if by_epoch else 'iteration', ylim=(0, None))
    losses.legend(frameon=False)
    for axes in (losses, rates):
        axes.grid(alpha=0.3)
        axes.spines[['top', 'right']].set_visible(False)
    return figure


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
        args.out.parent.mkdir(parents=True, exist_ok=True)
        draw_runs(runs, args.smoothing).savefig(args.out, dpi=120)
    except (ValueError, OSError) as error:
        raise SystemExit(f'training_curves: {error}') from error
    for name, records in runs.items():
        first, last = records[0], records[-1]
        losses = f'loss {first["loss"]:.4f} at iteration {first["step"]}, {last["loss"]:.4f} at {last["step"]}'
        print(f'{name}: {losses} ({len(records)} records)')
    print(args.out)


if __name__ == '__main__':
    main()
