"""Speed and memory of a training step of our models and of their alternatives: `make bench`.

    python tools/benchmarks/bench.py [mixmae mae mixedae swin-t twins-svt-s pvt-s vit compiled] [--batch-size 8]
        [--repeats 5] [--out FILE]

A step is a forward and backward pass at 224 px, in float32 and under bfloat16 autocast; models have base size unless
their name says otherwise. The models of a suite take turns in one process; the table has medians, and ratios to the
first model of the suite. Memory is the most that a separate process held beyond the weights, gradients included. The
share of peak is the model's operations per second over those of a large matrix product, in the same precision and run.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from functools import partial

from mixmae_mm.utils import compat

compat.apply()  # before torch and the libraries that it fixes

import torch
from contenders import SIZE, SUITES
from measuring import (
    ALLOCATOR,
    PRECISIONS,
    in_turns,
    machine,
    matrix_peak,
    operations,
    options,
    peak_memory,
    ratio,
    step,
)
from rich.console import Console
from rich.table import Table

from mixmae_mm.utils.arguments import expanded
from mixmae_mm.utils.malloc import keep_freed_memory

COLUMNS = 'precision', 'model', 'ms per image', 'images/s', 'speed-up', 'share of peak', 'MB per image', 'memory'


def measure(suite: str, half: bool, args: argparse.Namespace) -> list[dict]:
    """Return a row for each contender of a suite, in one precision."""
    contenders = SUITES[suite]
    images = torch.randn(args.batch_size, 3, SIZE, SIZE, device=args.device)
    models = {name: contender.build().to(args.device) for name, contender in contenders.items()}
    calls = {name: partial(step, contender, models[name], images, half) for name, contender in contenders.items()}
    with torch.no_grad():
        counted = {name: operations(one, models[name], images[: one.few]) for name, one in contenders.items()}
    times, peak = in_turns(calls, args.repeats), matrix_peak(args.device, half)
    memory = {name: memory_of(suite, name, half, args) for name in contenders}
    first, rows = next(iter(contenders)), []
    for name in contenders:
        speed = args.batch_size / statistics.median(times[name])
        row = dict(suite=suite, precision='bfloat16' if half else 'float32', model=name, seconds=times[name])
        row |= dict(images_per_second=speed, times_as_fast=1 / ratio(times[name], times[first]))
        row |= dict(share_of_peak=counted[name] * speed / peak, peak=peak)
        row |= dict(memory=memory[name], memory_ratio=memory[name]['step'] / memory[first]['step'])
        rows.append(row)
    return rows


def memory_of(suite: str, name: str, half: bool, args: argparse.Namespace) -> dict[str, int]:
    """Measure the peak memory of one contender in a separate process."""
    words = [sys.executable, __file__, suite, '--only', name, '--precision', 'bf16' if half else 'fp32']
    words += ['--batch-size', str(args.batch_size), '--threads', str(args.threads), '--device', args.device]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, env={**os.environ, **ALLOCATOR}, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def draw(suite: str, rows: list[dict], batch: int) -> Table:
    """Make a table of a suite's rows."""
    table = Table(title=f'{suite}: a training step, batch {batch}')
    for column in COLUMNS:
        table.add_column(column, justify='left' if column in ('precision', 'model') else 'right')
    for row in rows:
        speed = row['images_per_second']
        cells = [f'{1e3 / speed:.0f}', f'{speed:.2f}', f'{row["times_as_fast"]:.2f}', f'{row["share_of_peak"]:.0%}']
        cells += [f'{row["memory"]["step"] / batch / 1e6:.0f}', f'{row["memory_ratio"]:.2f}']
        table.add_row(row['precision'], row['model'], *cells)
    return table


def read_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = options(__doc__, batch_size=8, repeats=5)
    names = ', '.join(SUITES)
    parser.add_argument('suites', nargs='*', metavar='suite', help=f'(all but compiled, which takes long) of {names}')
    parser.add_argument('--out', type=expanded, help='write all measurements to this JSON file')
    parser.add_argument('--only', help='measure the peak memory of one contender and print it')
    parser.add_argument('--precision', choices=PRECISIONS, help='with --only (fp32)')
    args = parser.parse_args()
    if set(args.suites) - set(SUITES) or args.batch_size % 4 or args.batch_size < 4:
        parser.error(f'suites are {names} (got {args.suites}), --batch-size a multiple of 4 (got {args.batch_size})')
    if args.precision and not args.only:
        parser.error('--precision is for --only: the suites measure both precisions')
    args.suites = args.suites or [suite for suite in SUITES if suite != 'compiled']
    return args


def main() -> None:
    """Measure, and print a table for each suite."""
    args = read_arguments()
    torch.set_num_threads(args.threads)
    if args.only:
        images = torch.randn(args.batch_size, 3, SIZE, SIZE, device=args.device)
        print(json.dumps(peak_memory(SUITES[args.suites[0]][args.only], images, args.precision == 'bf16')))
        return
    if args.device == 'cpu':
        keep_freed_memory()  # as in training, for all models alike
    rows = []
    for suite in args.suites:
        measured = [row for half in (False, True) for row in measure(suite, half, args)]
        Console(width=120).print(draw(suite, measured, args.batch_size))
        rows += measured
    print(machine(args.device))
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(dict(machine=machine(args.device), batch=args.batch_size, rows=rows), indent=2))


if __name__ == '__main__':
    main()
