"""Time ways of keeping the K best keys of each query, and the attention around them: ViT-B at 224 px.

    python tools/benchmarks/homologous_attention.py [--threads 2] [--device cpu] [--groups 4] [--repeats 7]

All ways run alternately in one process; medians are printed, in milliseconds for one layer and `--groups` mixtures.
"""

import argparse
import statistics
import time
from collections.abc import Callable

from mixmae_mm.utils import compat

compat.apply()  # before torch and the libraries that it fixes

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.nn import functional as F

from mixmae_mm.models.utils.attention import attend_sequence
from mixmae_mm.models.utils.homologous_attention import TopKeys, _by_index, top_keys
from mixmae_mm.utils.malloc import keep_freed_memory

HEADS, TOKENS, HEAD_DIMS, RATIO = 12, 197, 64, 0.25
NUM_KEYS = round(RATIO * (TOKENS - 1))


def selections(logits: Tensor) -> dict[str, Callable[[], object]]:
    """List ways to mark the best keys in logits (B, S, N, N)."""
    ways = {
        'topk and scatter': lambda: _by_index(logits, NUM_KEYS),
        'k-th value, compare': lambda: logits >= logits.topk(NUM_KEYS, dim=-1).values[..., -1:],
    }
    if logits.device.type == 'cpu':
        rank = logits.shape[-1] - NUM_KEYS + 1
        ways['kthvalue, compare'] = lambda: logits >= logits.kthvalue(rank, dim=-1, keepdim=True).values
        ways['NumPy sort, compare (ours)'] = lambda: top_keys(logits, NUM_KEYS)
    return ways


def written_out(query: Tensor, key: Tensor, value: Tensor, keep: Tensor | None) -> Tensor:
    """Attend in three steps."""
    logits = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)
    if keep is not None:
        logits = logits.masked_fill(~keep, float('-inf'))
    return logits.softmax(dim=-1) @ value


def fused(query: Tensor, key: Tensor, value: Tensor, keep: Tensor | None) -> Tensor:
    """Attend by PyTorch's kernel."""
    return F.scaled_dot_product_attention(query, key, value, attn_mask=keep)


def attentions(groups: int, dtype: torch.dtype, device: str) -> dict[str, Callable[[], None]]:
    """List ways to attend, forward and backward, to all keys and to the best."""
    shape = (groups, HEADS, TOKENS, HEAD_DIMS)
    inputs = [torch.randn(shape, dtype=dtype, device=device, requires_grad=True) for _ in range(3)]
    rule = TopKeys(RATIO, 1)

    kernels = {'fused': fused, 'written out': written_out, 'ours': attend_sequence}
    ways = {f'all keys, {name}': lambda kernel=kernel: kernel(*inputs, None) for name, kernel in kernels.items()}
    del kernels['ours']
    masked = {
        f'best keys, {name}': lambda kernel=kernel: kernel(*inputs, rule(*inputs[:2]))
        for name, kernel in kernels.items()
    }
    ways |= masked | {'best keys, ours': lambda: rule.attend(*inputs)}
    return {name: lambda way=way: way().sum().backward() for name, way in ways.items()}


def medians(ways: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Time each way in turn; a GPU is waited for."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats + 1):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            times[name].append((time.perf_counter() - start) * 1e3)
    return {name: statistics.median(values[1:]) for name, values in times.items()}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--groups', type=int, default=4)
    parser.add_argument('--repeats', type=int, default=7)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.device == 'cpu':
        keep_freed_memory()  # as in training
    table = Table('what', 'precision', 'median, ms')
    logits = torch.randn(args.groups, HEADS, TOKENS - 1, TOKENS - 1, device=args.device)
    for name, time_ in medians(selections(logits), args.repeats).items():
        table.add_row(f'choose: {name}', 'float32', f'{time_:.1f}')
    for dtype in (torch.float32, torch.bfloat16):
        for name, time_ in medians(attentions(args.groups, dtype, args.device), args.repeats).items():
            table.add_row(f'attend, forward and backward: {name}', str(dtype).removeprefix('torch.'), f'{time_:.1f}')
    Console().print(table)


if __name__ == '__main__':
    main()
