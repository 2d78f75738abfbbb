"""Which precision a run trains in: what its config asks for, as far as the machine and the model's operators can.

Mixed precision is mmengine's `AmpOptimWrapper` on a GPU that it supports and ours below on a CPU that multiplies
bfloat16. Elsewhere, on Apple's GPUs say, training is in single precision.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.optim import OptimWrapper
from mmengine.runner.amp import autocast
from torch import nn

from mixmae_mm.engine.strategies import find_strategy
from mixmae_mm.registry import OPTIM_WRAPPERS
from mixmae_mm.utils.launching import has_accelerator, say

MULTIPLY_BFLOAT16 = {'avx512_bf16', 'amx_bf16', 'bf16'}
"""What Linux calls it in a CPU's flags: the first two Intel's and AMD's, the last ARM's."""
HAVE_MIXED = ('cuda', 'npu', 'mlu', 'musa')
"""Devices, as mmengine calls them, on which its `AmpOptimWrapper` trains; it refuses Apple's (mps) and others."""
BFLOAT16 = ('bfloat16', torch.bfloat16)
"""How a config may ask for it."""


@OPTIM_WRAPPERS.register_module()
class CpuAmpOptimWrapper(OptimWrapper):
    """Mixed precision on a CPU: as mmengine's `AmpOptimWrapper`, which refuses CPUs, in bfloat16.

    Weights, gradients and the optimizer's state are float32, and checkpoints those of a run in single precision. No
    loss is scaled: bfloat16 has the range of float32.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Compute forward passes in mixed precision."""
        with super().optim_context(model), autocast(device_type='cpu', dtype=torch.bfloat16):
            yield


def set_precision(config: Config, amp: bool) -> None:
    """Fit a config's optimizer wrapper to the precision that it, or `amp`, asks for, and to what there is.

    Models with RoIAlign never train in bfloat16: mmcv's does not know it. On a CPU they train in single precision, as
    does, without `amp`, what asks for another type than bfloat16, and everything on a GPU for which mmengine has no
    mixed precision. Each process decides by its own machine.

    Raises:
        ValueError: mixed precision is asked for by `amp` where it cannot be had, or bfloat16 for RoIAlign.
    """
    wrapper = config.get('optim_wrapper')
    if wrapper is None:
        if amp:
            raise ValueError('--amp needs an optim_wrapper in the config, which has none')
        return
    kind = wrapper.get('type', 'OptimWrapper')
    kind = getattr(kind, '__name__', kind).rpartition('.')[-1]
    if kind == CpuAmpOptimWrapper.__name__:  # written out by a run on a CPU
        wrapper.update(type='AmpOptimWrapper', dtype='bfloat16')
        kind = wrapper.type
    if amp and kind not in ('OptimWrapper', 'AmpOptimWrapper'):
        raise ValueError(f'--amp works with the optimizer wrapper OptimWrapper, not with the {kind} of this config')
    if not amp and kind != 'AmpOptimWrapper':
        return
    unsupported = get_device() not in ('cpu', *HAVE_MIXED)
    if has_accelerator() and not unsupported:
        _on_gpu(config, amp)
        return
    here = f'the device is {get_device()}' if unsupported else 'no GPU'
    hindrance = 'mmengine has no mixed precision for it' if unsupported else _hindrance(config, amp)
    if amp and hindrance:
        raise ValueError(f'--amp cannot be had here: {here}, and {hindrance}; leave it out')
    for name in ('dtype', 'loss_scale', 'use_fsdp'):
        wrapper.pop(name, None)
    wrapper.type = 'OptimWrapper' if hindrance else 'mixmae_mm.CpuAmpOptimWrapper'
    if hindrance:
        say(f'{here} here: training in single precision in place of the mixed precision of this config, as {hindrance}')
    else:
        say('no GPU here: mixed precision in bfloat16 on the CPU')


def _on_gpu(config: Config, amp: bool) -> None:
    """Choose the type that the GPU, and the model's operators, multiply best; a type that the config names stays."""
    wrapper, aligns = config.optim_wrapper, _aligns(config.get('model'))
    if amp:
        modern = torch.cuda.is_available() and torch.cuda.get_device_capability() >= (8, 0)
        wrapper.setdefault('dtype', 'bfloat16' if modern and not aligns else 'float16')
        wrapper.type = 'AmpOptimWrapper'
    if aligns and wrapper.get('dtype') in BFLOAT16:
        raise ValueError(
            "models with a roi_head cannot train in bfloat16, which mmcv's RoIAlign does not know: set "
            '--cfg-options optim_wrapper.dtype=float16'
        )
    if wrapper.get('dtype') in BFLOAT16:
        wrapper.loss_scale = dict(enabled=False)  # the range is that of float32: nothing to scale, nor to wait for


def _hindrance(config: Config, amp: bool) -> str | None:
    """Return why a config cannot train in mixed precision on this CPU; None if it can."""
    strategy, dtype = find_strategy(config), config.optim_wrapper.get('dtype') or 'float16'
    if _aligns(config.get('model')):
        return "mmcv's RoIAlign does not know the bfloat16 of CPUs"
    if strategy is not None:
        return f'the strategy {strategy} wants a GPU for it'
    if not multiplies_bfloat16():
        return 'this CPU does not multiply bfloat16'
    if not amp and dtype not in BFLOAT16:
        return f'CPUs do not multiply its {dtype} (--amp trains in bfloat16)'
    return None


def _aligns(settings: object) -> bool:
    """Return whether a model, or a part of it, has a head behind RoIAlign."""
    if isinstance(settings, dict):
        return settings.get('roi_head') is not None or any(map(_aligns, settings.values()))
    return isinstance(settings, list | tuple) and any(map(_aligns, settings))


def multiplies_bfloat16(cpu: str = '/proc/cpuinfo') -> bool:
    """Return whether this CPU has instructions for products of bfloat16; False where that is unknown."""
    path = Path(cpu)
    lines = path.read_text().splitlines() if path.is_file() else []
    flags = {flag for line in lines if line.lower().startswith(('flags', 'features')) for flag in line.split()}
    return not MULTIPLY_BFLOAT16.isdisjoint(flags)
