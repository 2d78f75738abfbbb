"""Time the ways of computing masked window attention, to choose between them (mixmae_mm/models/utils/attention.py).

    python tools/benchmarks/attention.py [--threads 2] [--device cpu] [--batch 8] [--repeats 7]

The shapes are those of the base encoder at 224 px; two sources are mixed by one map for the batch. Timed is what leads
from projected tokens to what is projected next: with the map, which is joined with the bias, or by runs, with the
sorting of the tokens before the projection and back; looking the bias up, and gradients of all that, included. What a
stage plans once for its blocks is left out. All ways run alternately; medians are printed, forward with backward for
training and forward alone for inference, where runs are not taken.
"""

import argparse
from collections.abc import Callable
from functools import partial

from mixmae_mm.utils import compat

compat.apply()  # before torch and the libraries that it fixes

import torch
from measuring import medians, options
from rich.console import Console
from rich.table import Table
from torch import Tensor

from mixmae_mm.mixing import random_assignment, resize_assignment
from mixmae_mm.models.utils.attention import _explicit, _fused, merge_heads, split_heads
from mixmae_mm.models.utils.pos_embed import relative_index
from mixmae_mm.models.utils.varlen_attention import attend_segments
from mixmae_mm.models.utils.windows import Windows, plan_windows
from mixmae_mm.utils.malloc import keep_freed_memory

# tokens a side of the map and of a window, and heads, in each stage
STAGES = {'stage 1': (56, 14, 4), 'stage 2': (28, 14, 8), 'stage 3': (14, 14, 16), 'stage 4': (7, 7, 32)}
CELLS = 7, 7
HEAD_DIMS = 32

Shape = tuple[int, int, int]
Way = Callable[[], tuple[Tensor, ...]]


def both_passes(way: Way) -> None:
    """Go forward and, where gradients are wanted, backward."""
    outputs = way()
    if outputs[0].requires_grad:
        torch.autograd.backward(outputs, [torch.ones_like(output) for output in outputs])


def with_map(kernel: Callable, qkv: Tensor, table: Tensor, windows: Windows) -> Way:
    """Attend by a kernel that takes the bias joined with the map: projected tokens (B, W, T, 3 * C)."""
    index = relative_index(windows.size, windows.size, qkv.device)

    def way() -> tuple[Tensor, ...]:
        bias = table.index_select(1, index.flatten()).view(-1, *index.shape)
        joined = bias.to(qkv.dtype).masked_fill(~windows.keep[:, :, None], float('-inf'))
        return (merge_heads(kernel(*split_heads(qkv, len(bias)), joined)),)

    return way


def by_runs(tokens: Tensor, qkv: Tensor, table: Tensor, windows: Windows) -> Way:
    """Sort a map's tokens (B, h, w, C), attend among those of each run, and put them back.

    The projection in between is left out, as of the other ways: `qkv` stands for the sorted tokens' own.
    """

    def way() -> tuple[Tensor, ...]:
        arranged = windows.cut(tokens)
        bias = table.index_select(1, windows.pairs)
        seen = attend_segments(qkv.flatten(1, 2), len(bias), bias, windows.segments)
        return windows.join(seen.view(arranged.shape)), arranged

    return way


def list_ways(shape: Shape, dtype: torch.dtype, training: bool, args: argparse.Namespace) -> dict[str, Way]:
    """List the ways to attend in a stage."""
    (grid, window, heads), dims = shape, shape[2] * HEAD_DIMS
    number, length = (grid // window) ** 2, window**2
    made = dict(device=args.device, requires_grad=training)
    qkv = torch.randn(args.batch, number, length, 3 * dims, dtype=dtype, **made)
    table = torch.randn(heads, (2 * window - 1) ** 2, **made)
    labels = resize_assignment(random_assignment(1, CELLS, 2, device=args.device), (grid, grid))
    masked, sorted_ = (
        plan_windows((grid, grid), (window, window), labels, qkv.device, in_runs) for in_runs in (False, True)
    )
    ways = {'written out': with_map(_explicit, qkv, table, masked), 'fused': with_map(_fused, qkv, table, masked)}
    if training:
        tokens = torch.randn(args.batch, grid, grid, dims, dtype=dtype, **made)
        ways['by runs'] = by_runs(tokens, qkv, table, sorted_)
    return ways


def main() -> None:
    """Print the table."""
    parser = options(__doc__, batch=8, repeats=7)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.device == 'cpu':
        keep_freed_memory()  # as in training
    names = 'written out', 'fused', 'by runs'
    headings = *(f'{name}, ms' for name in names), 'written out / fused', 'by runs / written out'
    table = Table('', 'precision', 'mode', *headings)
    for stage, shape in STAGES.items():
        for dtype in (torch.float32, torch.bfloat16):
            for training in (True, False):
                ways = list_ways(shape, dtype, training, args)
                times = medians({name: partial(both_passes, way) for name, way in ways.items()}, args.repeats)
                written, fused, runs = (times.get(name) for name in names)
                cells = [f'{written:.1f}', f'{fused:.1f}', f'{runs:.1f}' if runs else '']
                cells += [f'{written / fused:.2f}', f'{runs / written:.2f}' if runs else '']
                mode = 'training' if training else 'inference'
                table.add_row(stage, str(dtype).removeprefix('torch.'), mode, *cells)
    Console(width=120).print(table)


if __name__ == '__main__':
    main()
