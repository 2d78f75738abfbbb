"""What MixedAE costs over MAE: forward and backward of ViT-B at 224 px, time and peak memory per clean picture.

    python tools/benchmarks/mixedae_cost.py [--threads 2] [--batch 16] [--repeats 5] [--device cpu] [--arch base]

The methods run alternately in one process for the time; the ratio of each repetition is taken, and the median of ratios
printed. On a CPU peak memory is the most that a process of its own held over what it held before the step.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import mixmae_mm  # before the host packages: it mends what is known to break on import

# isort: split
import torch
from mmengine.registry import MODELS
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from mixmae_mm.models.vit_arch import read_arch

BASELINE = 'MAE'
METHODS = {
    BASELINE: dict(sources=1, attention='global', contrast=None),
    'naive mixing': dict(sources=4, attention='global', contrast=None),
    'MixedAE': dict(sources=4, attention='homologous', contrast=dict(type='mixmae_mm.HomologousContrastiveLoss')),
}


def build(method: str, arch: str) -> nn.Module:
    """Build a pre-training model at 224 px, with the decoder of MAE."""
    settings = METHODS[method]
    sources = settings['sources']
    preprocessor = dict(num_sources=sources, cell_size=16, take_turns=False, shared_assignment=False)
    backbone = dict(arch=arch, num_sources=sources, attention=settings['attention'])
    dims = read_arch(arch).embed_dims
    neck = dict(in_channels=dims, grid_size=14, cell_size=16, cls_token=True, norm_eps=1e-6)
    return MODELS.build(
        dict(
            type='mixmae_mm.MixedAE',
            data_preprocessor=dict(
                type='mixmae_mm.MixingDataPreprocessor', hidden_ratio=0.75 if sources == 1 else None, **preprocessor
            ),
            backbone=dict(type='mixmae_mm.MixedAEViT', segment_embedding=method == 'MixedAE', **backbone),
            neck=dict(type='mixmae_mm.MixDecoder', **neck),
            head=dict(type='mixmae_mm.MixReconstructionHead', cell_size=16),
            contrast=settings['contrast'],
        )
    )


def step(model: nn.Module, images: Tensor, half: bool) -> float:
    """Go forward and backward once; give the seconds."""
    start = time.perf_counter()
    with torch.autocast(images.device.type, torch.bfloat16, enabled=half):
        losses = model.loss(model.data_preprocessor.mix(images))
    sum(value for name, value in losses.items() if name.startswith('loss')).backward()
    if images.is_cuda:
        torch.cuda.synchronize()
    passed = time.perf_counter() - start
    model.zero_grad()
    return passed


def seconds(args: argparse.Namespace, images: Tensor, half: bool) -> dict[str, list[float]]:
    """Time the methods in turn, after a step each to warm up."""
    models = {method: build(method, args.arch).to(args.device).train() for method in METHODS}
    rounds = [{method: step(model, images, half) for method, model in models.items()} for _ in range(args.repeats + 1)]
    return {method: [times[method] for times in rounds[1:]] for method in METHODS}


def peak_memory(args: argparse.Namespace, method: str, half: bool) -> float:
    """Measure the most memory in use over the weights, in bytes, in a process of its own."""
    words = [sys.executable, __file__, '--only', method, *(['--half'] if half else []), '--arch', args.arch]
    words += ['--batch', args.batch, '--threads', args.threads, '--device', args.device]
    # a fixed threshold has glibc give every large block back at once: otherwise the peak depends on luck
    environment = {**os.environ, 'MALLOC_MMAP_THRESHOLD_': '65536'}
    done = subprocess.run([str(word) for word in words], check=True, capture_output=True, text=True, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


def measure_here(args: argparse.Namespace) -> int:
    """Run one method's second step, and give the bytes that it needed on top of weights and their gradients."""
    model = build(args.only, args.arch).to(args.device).train()
    images = torch.randn(args.batch, 3, 224, 224, device=args.device)
    step(model, images[:4], args.half)
    if images.is_cuda:
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        step(model, images, args.half)
        return torch.cuda.max_memory_allocated() - before
    Path('/proc/self/clear_refs').write_text('5')  # sets the peak back to what is in use
    before = _resident('VmRSS')
    step(model, images, args.half)
    return _resident('VmHWM') - before


def _resident(field: str) -> int:
    """Read a number of bytes that Linux keeps about this process."""
    lines = Path('/proc/self/status').read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--batch', type=int, default=16)
    parser.add_argument('--repeats', type=int, default=5)
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--arch', default='base')
    parser.add_argument('--only', choices=METHODS, help='measure the peak memory of one method and print it')
    parser.add_argument('--half', action='store_true', help='with --only: under bfloat16 autocast')
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.only:
        print(json.dumps(measure_here(args)))
        return
    table = Table(*('precision', 'method', 'ms a picture', 'ratio', 'MB a picture', 'ratio'))
    images = torch.randn(args.batch, 3, 224, 224, device=args.device)
    for half in (False, True):
        times = seconds(args, images, half)
        memory = {method: peak_memory(args, method, half) for method in METHODS}
        for method, values in times.items():
            ratio = statistics.median(a / b for a, b in zip(values, times[BASELINE], strict=True))
            each = statistics.median(values) / args.batch * 1e3, memory[method] / args.batch / 1e6
            cells = f'{each[0]:.0f}', f'{ratio:.3f}', f'{each[1]:.0f}', f'{memory[method] / memory[BASELINE]:.3f}'
            table.add_row('bfloat16' if half else 'float32', method, *cells)
    Console().print(table)
    print(
        f'ViT-{args.arch}, {args.batch} pictures, {args.threads} threads, {args.device}, mixmae_mm',
        mixmae_mm.__version__,
    )


if __name__ == '__main__':
    main()
