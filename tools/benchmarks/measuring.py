"""Seconds, bytes and operations of a training step, and what the machine could do at best."""

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

if TYPE_CHECKING:  # which imports mmpretrain, and this is read by programs whose memory is measured
    from contenders import Contender

# a fixed threshold has glibc return every large block at once: otherwise the peak of memory depends on luck
ALLOCATOR = {'MALLOC_MMAP_THRESHOLD_': '65536'}


def options(doc: str, **defaults: object) -> argparse.ArgumentParser:
    """Make a command line with threads, a device and the given numbers of default value."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in {'threads': 2, **defaults}.items():
        parser.add_argument(f'--{name}', type=int, default=default, help='(%(default)s)')
    parser.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu', help='(%(default)s)')
    return parser


def seconds(call: Callable[[], object]) -> float:
    """Time one call; a GPU is waited for."""
    start = time.perf_counter()
    call()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def step(contender: 'Contender', model: nn.Module, images: Tensor, half: bool) -> float:
    """Go forward and backward once; return the seconds."""

    def passes() -> None:
        with torch.autocast(images.device.type, torch.bfloat16, enabled=half):
            loss = contender.loss(model, images)
        loss.backward()

    passed = seconds(passes)
    model.zero_grad()
    return passed


def in_turns(calls: dict[str, Callable[[], float]], repeats: int, warm_up: int = 1) -> dict[str, list[float]]:
    """Call each to warm up, then all in turn, so that what disturbs the machine disturbs all."""
    rounds = [{name: call() for name, call in calls.items()} for _ in range(warm_up + repeats)]
    return {name: [times[name] for times in rounds[warm_up:]] for name in calls}


def medians(ways: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Return the median milliseconds of each way, timed in turns."""
    timed = {name: lambda way=way: seconds(way) * 1e3 for name, way in ways.items()}
    return {name: statistics.median(times) for name, times in in_turns(timed, repeats).items()}


def ratio(times: list[float], of: list[float]) -> float:
    """Return the median of the rounds' ratios."""
    return statistics.median(a / b for a, b in zip(times, of, strict=True))


def peak_memory(contender: 'Contender', images: Tensor, half: bool) -> dict[str, int]:
    """Run a second step; return the bytes that it needed beyond the weights, and the most that the process held."""
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
    Path('/proc/self/clear_refs').write_text('5')  # sets the peak back to what is in use
    before = _resident('VmRSS')
    call()
    return before, _resident('VmHWM')


def _resident(field: str) -> int:
    """Read a number of bytes that Linux keeps about this process."""
    lines = Path('/proc/self/status').read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def operations(contender: 'Contender', model: nn.Module, images: Tensor) -> float:
    """Count the floating-point operations of a step for an image: three times those of the forward pass.

    What is computed twice to save memory is not counted twice. The model is in training: in evaluation PyTorch fuses
    blocks. Without gradients our models mask what segments leave out, so that it counts, as in the official ones.
    """
    fused = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention_operations}
    with FlopCounterMode(display=False, custom_mapping=fused) as counter:
        contender.loss(model, images)
    return 3 * counter.get_total_flops() / len(images)


def _attention_operations(query: tuple, key: tuple, value: tuple, *args: object, **kwargs: object) -> int:
    """Count what PyTorch's counter leaves out on the CPU: logits and the weighted sum, two operations each."""
    batch, heads, tokens, dims = query
    return 2 * 2 * batch * heads * tokens * key[2] * dims


def matrix_peak(device: str, half: bool, run_time: float = 1.0) -> float:
    """Measure the most operations per second that a product of square matrices reaches here."""
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
