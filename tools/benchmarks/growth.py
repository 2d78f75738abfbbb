"""Measure how the cost of a clean image grows in pre-training, and whether anything grows faster than it must.

    python tools/benchmarks/growth.py [--methods mixmae mixedae] [--factors batch resolution sources size window]
        [--small] [--half] [--repeats 3] [--threads 2] [--json FILE] [--plot FILE.png]

A forward and backward pass of MixMAE (MixMIMSwin) and MixedAE (MixingViT), one factor varied at a time around the base
model at 224 px. The settings of a factor take turns in one process; times are medians, and medians of the rounds'
ratios. Memory is the most that a process of its own held beyond the weights; gradients are included, and a step of few
images or a large model holds little besides. Multiply-adds are those that the forward pass does: runs leave out what
an image would not see of another. An exponent is the slope of a cost against the factor where both are logarithms: 2
against a side is 1 against the pixels.

Windows of 14 tokens tile 224 and 448 px only: MixMAE fills them up with padding at 128 and 320 px, and this counts.
"""

import argparse
import json
from pathlib import Path

import mixmae_mm
from mixmae_mm.utils import compat

compat.apply()  # before torch and the libraries that it fixes

import torch
from growth_measuring import fit, measure, memory_meter
from growth_settings import BASES, FACTORS, list_settings
from growth_view import draw_growth, lay_out
from measuring import machine
from rich.console import Console

from mixmae_mm.utils.malloc import keep_freed_memory


def read_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--methods', nargs='+', choices=BASES, default=list(BASES))
    parser.add_argument('--factors', nargs='+', choices=FACTORS, default=list(FACTORS))
    parser.add_argument('--small', action='store_true', help='without batch 32, 448 px and the huge models')
    parser.add_argument('--half', action='store_true', help='under bfloat16 autocast')
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--repeats', type=int, default=3)
    parser.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    parser.add_argument('--json', type=Path, help='write all that was measured there')
    parser.add_argument('--plot', type=Path, help='draw it there')
    return parser.parse_args()


def main() -> None:
    """Measure each factor of each method, and print and draw what came of it."""
    args = read_arguments()
    torch.set_num_threads(args.threads)
    precision = 'bfloat16' if args.half else 'float32'
    where = f'{precision}, {machine(args.device)}, torch {torch.__version__}, mixmae_mm {mixmae_mm.__version__}'
    rows, exponents = [], {}
    with memory_meter(args) as memory:
        if args.device == 'cpu':
            keep_freed_memory()  # as in training
        for method in args.methods:
            for factor in args.factors:
                if not list_settings(method, factor, args.small):
                    continue
                measured = measure(method, factor, memory, args)
                exponents[f'{method} {factor}'] = fitted = fit(measured)
                Console(width=120).print(lay_out(measured, fitted))
                rows += measured
    print(where)
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(dict(machine=where, rows=rows, exponents=exponents), indent=2))
    if args.plot:
        args.plot.parent.mkdir(parents=True, exist_ok=True)
        draw_growth(rows, exponents, where).savefig(args.plot)


if __name__ == '__main__':
    main()
