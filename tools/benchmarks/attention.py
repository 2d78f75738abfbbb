"""Time the two ways of computing masked window attention, to choose between them (mixmae_mm/models/attention.py).

    python tools/benchmarks/attention.py [--threads 2] [--device cpu] [--batch 8] [--repeats 7]

The shapes are those of the base encoder at 224 px, with the keep map shared by the batch. Both kernels run alternately;
medians are printed, forward with backward for training and forward alone for inference.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from mixmae_mm.models.attention import _explicit, _fused

# windows, heads and tokens of a window in each stage
STAGES = {'stage 1': (16, 4, 196), 'stage 2': (4, 8, 196), 'stage 3': (1, 16, 196), 'stage 4': (1, 32, 49)}
HEAD_DIMS = 32


def milliseconds(function: Callable[[], None]) -> float:
    """Time one call; a GPU is waited for."""
    start = time.perf_counter()
    function()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return (time.perf_counter() - start) * 1e3


def make_call(kernel: Callable, inputs: list[Tensor], keep: Tensor) -> Callable[[], None]:
    """Bind a kernel to its inputs: query, key, value and the bias, which is joined with the map inside."""
    query, key, value, bias = inputs

    def call() -> None:
        joined = bias.to(query.dtype).masked_fill(~keep[:, :, None], float('-inf'))
        out = kernel(query, key, value, joined)
        if out.requires_grad:
            out.backward(torch.ones_like(out))

    return call


def compare(shape: tuple[int, int, int], dtype: torch.dtype, training: bool, args: argparse.Namespace) -> list[float]:
    """Give the median milliseconds of the explicit and the fused kernel."""
    windows, heads, tokens = shape
    made = dict(device=args.device, requires_grad=training)
    inputs = [torch.randn(args.batch, windows, heads, tokens, HEAD_DIMS, dtype=dtype, **made) for _ in range(3)]
    inputs.append(torch.randn(heads, tokens, tokens, **made))
    keep = torch.rand(1, windows, tokens, tokens, device=args.device) < 0.5
    keep |= torch.eye(tokens, dtype=torch.bool, device=args.device)
    calls = [make_call(kernel, inputs, keep) for kernel in (_explicit, _fused)]
    times = [[milliseconds(call) for call in calls] for _ in range(args.repeats + 1)][1:]
    return [statistics.median(column) for column in zip(*times, strict=True)]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--batch', type=int, default=8)
    parser.add_argument('--repeats', type=int, default=7)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    table = Table('', 'precision', 'mode', 'explicit, ms', 'fused, ms', 'explicit / fused')
    for name, shape in STAGES.items():
        for dtype in (torch.float32, torch.bfloat16):
            for training in (True, False):
                explicit, fused = compare(shape, dtype, training, args)
                mode = 'training' if training else 'inference'
                numbers = f'{explicit:.1f}', f'{fused:.1f}', f'{explicit / fused:.2f}'
                table.add_row(name, str(dtype).removeprefix('torch.'), mode, *numbers)
    Console().print(table)


if __name__ == '__main__':
    main()
