"""Measure how the cost per source image grows in pre-training, and whether anything grows faster than it must.

    python tools/benchmarks/growth.py [--methods mixmae mixedae] [--factors batch resolution sources size window]
        [--small] [--repeats 3] [--threads 2] [--out FILE] [--plot FILE.png]

A forward and backward pass is measured in float32; one factor at a time is varied around the base model at 224 px. The
settings of a factor take turns in one process; times are medians. Memory is the most that a separate process held
beyond the weights, gradients included. Multiply-adds are those that the forward pass actually computes. An exponent is
the slope of a cost against the factor on logarithmic axes: 2 against the side of an image is 1 against its pixels.
"""

import argparse
import itertools
import json
import math
import os
import statistics
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

from mixmae_mm.utils import compat

compat.apply()  # before torch and the libraries that it fixes

import torch
from contenders import SIZE, SWIN_ARCHS, VIT_ARCHS, Contender, mixedae, mixmae
from matplotlib import pyplot
from measuring import ALLOCATOR, in_turns, machine, operations, options, peak_memory, ratio, step
from rich.console import Console
from rich.table import Table

from mixmae_mm.utils.arguments import expanded
from mixmae_mm.utils.malloc import keep_freed_memory

COSTS = 'seconds', 'bytes', 'multiply_adds'
FACTORS = 'batch', 'resolution', 'sources', 'size', 'window'
COSTLY = {('batch', 32), ('resolution', 448), ('size', 'huge')}


class Setting(NamedTuple):
    """A model, and the images of its step."""

    method: str
    sources: int
    batch: int = 8
    resolution: int = SIZE
    size: str = 'base'
    window: int = 14

    def contender(self) -> Contender:
        """Return the model; MixedAE with one source is MAE."""
        if self.method == 'mixedae':
            return mixedae(self.sources, self.sources > 1, self.size, self.resolution)
        windows = self.window, self.window, min(self.window, 14), 7  # maps are 56, 28, 14 and 7 tokens wide at 224 px
        return mixmae(self.size, self.resolution, self.sources, window_sizes=windows)


BASES = {'mixmae': Setting('mixmae', sources=2), 'mixedae': Setting('mixedae', sources=4)}


def list_settings(method: str, factor: str, small: bool) -> list[Setting]:
    """List the settings of a factor, including the base; none if a method has no such factor."""
    swin = method == 'mixmae'
    values = dict(
        batch=(4, 8, 16, 32),
        resolution=(128, 224, 320, 448),
        sources=(2, 3, 4) if swin else (1, 2, 4, 8),
        size=SWIN_ARCHS if swin else VIT_ARCHS,
        window=(7, 14, 28) if swin else (),
    )
    # the weights' gradients are per batch, so the settings of a factor have equally many images (3 sources need 9)
    images = {'sources': 8, 'resolution': 4 if swin else 8}.get(factor, 4)
    kept = [value for value in values[factor] if not (small and (factor, value) in COSTLY)]
    changes = [dict(batch=9 if (factor, value) == ('sources', 3) else images) | {factor: value} for value in kept]
    return [BASES[method]._replace(**change) for change in changes]


def random_images(setting: Setting, device: str) -> torch.Tensor:
    """Make the images of a step: (B, 3, H, W)."""
    return torch.randn(setting.batch, 3, setting.resolution, setting.resolution, device=device)


def peak(setting: Setting, device: str, threads: int) -> int:
    """Measure the bytes of a setting's step in this process."""
    torch.set_num_threads(threads)
    return peak_memory(setting.contender(), random_images(setting, device), half=False)['step']


def measure(factor: str, settings: list[Setting], memory: list[int], args: argparse.Namespace) -> list[dict]:
    """Return a row for each setting of a factor: the costs per image, also relative to those of the base."""
    calls, rows = {}, []
    for setting, most in zip(settings, memory, strict=True):
        contender, images = setting.contender(), random_images(setting, args.device)
        model = contender.build().to(args.device).train()
        counted = operations(contender, model, images[: setting.sources]) / 6  # three passes, two operations each
        calls[setting] = partial(step, contender, model, images, False)
        name = getattr(setting, factor)
        value = sum(parameter.numel() for parameter in model.parameters()) / 1e6 if factor == 'size' else name
        row = dict(setting._asdict(), factor=factor, name=name, value=value)
        rows.append(row | dict(bytes=most / setting.batch, multiply_adds=counted))
    for row, (setting, times) in zip(rows, in_turns(calls, args.repeats).items(), strict=True):
        row['all_seconds'] = [passed / setting.batch for passed in times]
        row['seconds'] = statistics.median(row['all_seconds'])
    base = next(row for row in rows if row['name'] == getattr(BASES[row['method']], factor))
    for row in rows:
        over = {cost: row[cost] / base[cost] for cost in ('bytes', 'multiply_adds')}
        row['of_base'] = dict(seconds=ratio(row['all_seconds'], base['all_seconds']), **over)
    return rows


def fit(rows: list[dict]) -> dict[str, float]:
    """Fit the exponent of each cost against the factor; MAE (one source) encodes fewer cells and is left out."""
    mixed = [row for row in rows if row['sources'] > 1]
    values = [math.log(row['value']) for row in mixed]
    costs = {cost: [math.log(row['of_base'][cost]) for row in mixed] for cost in COSTS}
    return {cost: statistics.linear_regression(values, logarithms).slope for cost, logarithms in costs.items()}


def lay_out(rows: list[dict], exponents: dict[str, float]) -> Table:
    """Make a table of one factor of a method, with the exponents below the ratios."""
    over = [f'{cost} / base' for cost in COSTS]
    table = Table(rows[0]['factor'], 'images', 'ms', 'MB', 'G multiply-adds', *over, title=rows[0]['method'])
    for row in rows:
        costs = f'{row["seconds"] * 1e3:.0f}', f'{row["bytes"] / 1e6:.0f}', f'{row["multiply_adds"] / 1e9:.2f}'
        table.add_row(str(row['name']), str(row['batch']), *costs, *(f'{row["of_base"][cost]:.2f}' for cost in COSTS))
    table.add_row('exponent', '', '', '', '', *(f'{exponents[cost]:.2f}' for cost in COSTS))
    return table


def draw(measured: list[list[dict]], caption: str, path: Path) -> None:
    """Draw a panel for each factor of each method: costs relative to the base, on logarithmic axes."""
    figure, panels = pyplot.subplots(
        1, len(measured), sharey=True, squeeze=False, figsize=(3 * len(measured), 4), layout='constrained'
    )
    for axes, rows in zip(panels[0], measured, strict=True):
        for cost, marker in zip(COSTS, 'o^x', strict=True):
            axes.loglog([row['value'] for row in rows], [row['of_base'][cost] for row in rows], marker, label=cost)
        axes.set(xlabel=rows[0]['factor'], title=rows[0]['method'])
    panels[0, 0].set_ylabel('cost of an image (base setting = 1)')
    panels[0, 0].legend()
    figure.supxlabel(caption, fontsize='small')
    figure.savefig(path)


def main() -> None:
    """Measure each factor of each method; print and draw the results."""
    parser = options(__doc__, repeats=3)
    parser.add_argument('--methods', nargs='+', choices=BASES, default=list(BASES))
    parser.add_argument('--factors', nargs='+', choices=FACTORS, default=FACTORS)
    parser.add_argument('--small', action='store_true', help='skip batch 32, 448 px and the huge models')
    parser.add_argument('--out', type=expanded, help='write all measurements to this JSON file')
    parser.add_argument('--plot', type=expanded, help='draw the costs into this file')
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    os.environ.update(ALLOCATOR)  # for the processes whose memory is measured
    measured = []
    with get_context('spawn').Pool(1, maxtasksperchild=1) as pool:
        if args.device == 'cpu':
            keep_freed_memory()  # as in training
        for method, factor in itertools.product(args.methods, args.factors):
            settings = list_settings(method, factor, args.small)
            if settings:
                memory = pool.map(partial(peak, device=args.device, threads=args.threads), settings, chunksize=1)
                measured.append(measure(factor, settings, memory, args))
                Console(width=120).print(lay_out(measured[-1], fit(measured[-1])))
    print(machine(args.device))
    if args.out:
        args.out.write_text(json.dumps(dict(machine=machine(args.device), rows=measured), indent=2))
    if args.plot:
        draw(measured, machine(args.device), args.plot)


if __name__ == '__main__':
    main()
