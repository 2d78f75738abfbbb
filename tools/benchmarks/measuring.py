"""Seconds, bytes and operations of a training step, and what the machine could do at best."""

import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

if TYPE_CHECKING:  # which imports mmpretrain, and this is read by programs whose memory is measured
    from contenders import Contender

# a fixed threshold has glibc give every large block back at once: otherwise the peak of memory depends on luck
ALLOCATOR = {'MALLOC_MMAP_THRESHOLD_': '65536'}


def step(contender: 'Contender', model: nn.Module, images: Tensor, half: bool) -> float:
    """Go forward and backward once; give the seconds."""
    start = time.perf_counter()
    with torch.autocast(images.device.type, torch.bfloat16, enabled=half):
        loss = contender.loss(model, images)
    loss.backward()
    wait(images.device)
    passed = time.perf_counter() - start
    model.zero_grad()
    return passed


def wait(device: torch.device) -> None:
    """Wait until a GPU has done what it was asked to."""
    if device.type == 'cuda':
        torch.cuda.synchronize(device)


def in_turns(calls: dict[str, Callable[[], float]], repeats: int, warm_up: int = 1) -> dict[str, list[float]]:
    """Call each to warm up, then all in turn, so that what disturbs the machine disturbs all."""
    rounds = [{name: call() for name, call in calls.items()} for _ in range(warm_up + repeats)]
    return {name: [times[name] for times in rounds[warm_up:]] for name in calls}


def ratio(times: list[float], of: list[float]) -> float:
    """Return the median of the rounds' ratios."""
    return statistics.median(a / b for a, b in zip(times, of, strict=True))


def peak_memory(contender: 'Contender', images: Tensor, half: bool) -> dict[str, int]:
    """Run a second step; give the bytes that it needed beyond the weights, and all that the process held at most."""
    model = contender.build().to(images.device).train()
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


def training_operations(contender: 'Contender') -> float:
    """Count the floating-point operations of a step at 224 px for an image.

    Without gradients our models hide what runs leave out, so that it counts here, as in the official ones.
    """
    with torch.no_grad():
        images = torch.zeros(contender.few, 3, contender.size, contender.size)
        return operations(contender, contender.build().train(), images)


def operations(contender: 'Contender', model: nn.Module, images: Tensor) -> float:
    """Count the floating-point operations of a step for an image: three times those of the forward pass.

    What is computed twice to save memory is not counted twice. The model is in training: in evaluation PyTorch fuses
    blocks.
    """
    fused = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention_operations}
    with FlopCounterMode(display=False, custom_mapping=fused) as counter:
        contender.loss(model, images)
    return 3 * counter.get_total_flops() / len(images)


def _attention_operations(query: tuple, key: tuple, value: tuple, *args: object, **kwargs: object) -> int:
    """Count what PyTorch's counter leaves out on the CPU: logits and the weighted sum, two operations each."""
    batch, heads, tokens, dims = query
    return 2 * 2 * batch * heads * tokens * key[2] * dims


def matrix_peak(device: str, half: bool, repeats: int = 7) -> float:
    """Measure the most operations a second that a product of square matrices reaches here."""
    side = 8192 if device.startswith('cuda') else 2048
    one, other = torch.randn(2, side, side, device=device, dtype=torch.bfloat16 if half else torch.float32)
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        one @ other
        wait(one.device)
        times.append(time.perf_counter() - start)
    return 2 * side**3 / min(times)


def machine(device: str) -> str:
    """Say what it is measured on."""
    if device.startswith('cuda'):
        return torch.cuda.get_device_name(device)
    lines = Path('/proc/cpuinfo').read_text().splitlines()
    model = next((line.partition(':')[2].strip() for line in lines if line.startswith('model name')), 'unknown CPU')
    return f'{model}, {os.cpu_count()} cores, {torch.get_num_threads()} threads'
