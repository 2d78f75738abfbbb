"""Measurement of seconds, bytes and operations of a training step, and of what the machine can reach at best."""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.utils.benchmark import Timer
from torch.utils.flop_counter import FlopCounterMode

if TYPE_CHECKING:  # it imports mmpretrain, which would add to the memory of measured processes
    from contenders import Contender

# with a fixed threshold, glibc returns every large block at once; otherwise the peak of memory depends on chance
ALLOCATOR = {'MALLOC_MMAP_THRESHOLD_': '65536'}
PRECISIONS = ('fp32', 'bf16')
"""float32, or bfloat16 autocast."""


def options(doc: str, **defaults: object) -> argparse.ArgumentParser:
    """Make a parser with options for threads, a device, and integers with these defaults."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in {'threads': 2, **defaults}.items():
        parser.add_argument(f'--{name.replace("_", "-")}', type=int, default=default, help='(%(default)s)')
    parser.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu', help='(%(default)s)')
    return parser


def seconds(call: Callable[[], object]) -> float:
    """Time one call; wait for the GPU to finish."""
    start = time.perf_counter()
    call()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def step(contender: 'Contender', model: nn.Module, images: Tensor, half: bool) -> float:
    """Run forward and backward once; return the seconds."""

    def passes() -> None:
        with torch.autocast(images.device.type, torch.bfloat16, enabled=half):
            loss = contender.loss(model, images)
        loss.backward()

    passed = seconds(passes)
    model.zero_grad()
    return passed


def in_turns(calls: dict[str, Callable[[], float]], repeats: int, warm_up: int = 1) -> dict[str, list[float]]:
    """Call each to warm up, then all in turn, so that a disturbance of the machine affects all."""
    rounds = [{name: call() for name, call in calls.items()} for _ in range(warm_up + repeats)]
    return {name: [times[name] for times in rounds[warm_up:]] for name in calls}


def medians(ways: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Return the median milliseconds of each way, timed in turns."""
    timed = {name: lambda way=way: seconds(way) * 1e3 for name, way in ways.items()}
    return {name: statistics.median(times) for name, times in in_turns(timed, repeats).items()}


def ratio(times: list[float], of: list[float]) -> float:
    """Return the median over rounds of the ratio of two times."""
    return statistics.median(a / b for a, b in zip(times, of, strict=True))


def peak_memory(contender: 'Contender', images: Tensor, half: bool) -> dict[str, int]:
    """Run two steps; return the bytes that the second needed beyond the weights, and the most that the process held."""
    model = contender.build().to(images.device)
    step(contender, model, images[: contender.few], half)
    before, most = held_during(lambda: step(contender, model, images, half), images.device)
    return dict(step=most - before, process=most)


def held_during(call: Callable[[], object], device: torch.device) -> tuple[int, int]:
    """Return the bytes that this process, or its GPU, held before a call, and the most that they held during it."""
    if device.type == 'cuda':
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call()
        return before, torch.cuda.max_memory_allocated()
    Path('/proc/self/clear_refs').write_text('5')  # resets the peak to what is in use
    before = _resident('VmRSS')
    call()
    return before, _resident('VmHWM')


def _resident(field: str) -> int:
    """Read a memory statistic of this process from Linux, in bytes."""
    lines = Path('/proc/self/status').read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def operations(contender: 'Contender', model: nn.Module, images: Tensor) -> float:
    """Count the floating-point operations of a step per image: three times those of the forward pass.

    What is recomputed to save memory is not counted twice. The model is in training mode, because in evaluation mode
    PyTorch fuses blocks. Under `torch.no_grad`, our models mask attention instead of splitting it into segments, so
    that masked pairs are counted, as in the official models.
    """
    fused = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention_operations}
    with FlopCounterMode(display=False, custom_mapping=fused) as counter:
        contender.loss(model, images)
    return 3 * counter.get_total_flops() / len(images)


def _attention_operations(query: tuple, key: tuple, value: tuple, *args: object, **kwargs: object) -> int:
    """Count the attention that PyTorch's counter omits on the CPU: logits and weighted sum, two operations each."""
    batch, heads, tokens, dims = query
    return 2 * 2 * batch * heads * tokens * key[2] * dims


def matrix_peak(device: str, half: bool, run_time: float = 1.0) -> float:
    """Measure the highest number of operations per second that a product of square matrices reaches here."""
    side = 8192 if device.startswith('cuda') else 2048
    matrices = torch.randn(2, side, side, device=device, dtype=torch.bfloat16 if half else torch.float32)
    timer = Timer('a @ b', globals=dict(zip('ab', matrices, strict=True)), num_threads=torch.get_num_threads())
    return 2 * side**3 / min(timer.blocked_autorange(min_run_time=run_time).times)


def machine(device: str) -> str:
    """Describe the machine and the versions that a measurement belongs to."""
    import mixmae_mm

    versions = f'torch {torch.__version__}, mixmae_mm {mixmae_mm.__version__}'
    if device.startswith('cuda'):
        return f'{torch.cuda.get_device_name(device)}, {versions}'
    lines = Path('/proc/cpuinfo').read_text().splitlines()
    model = next((line.partition(':')[2].strip() for line in lines if line.startswith('model name')), 'unknown CPU')
    return f'{model}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, {versions}'
