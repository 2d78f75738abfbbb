"""Which precision a run trains in: what its config asks for, as far as the machine and the model's operators can.

Mixed precision is mmengine's `AmpOptimWrapper` on a GPU and ours below on a CPU that multiplies bfloat16.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from mmengine.runner.amp import autocast
from torch import nn

from mixmae_mm.launching import has_accelerator, say
from mixmae_mm.registry import OPTIM_WRAPPERS
from mixmae_mm.strategies import find_strategy

MULTIPLY_BFLOAT16 = {'avx512_bf16', 'amx_bf16', 'bf16'}
"""What Linux calls it in a CPU's flags: the first two Intel's and AMD's, the last ARM's."""


@OPTIM_WRAPPERS.register_module()
class CpuAmpOptimWrapper(OptimWrapper):
    """Mixed precision on a CPU: as mmengine's `AmpOptimWrapper`, which refuses CPUs, in bfloat16.

    Weights, gradients and the optimizer's state are float32, and checkpoints those of a run in single precision. There
    is no loss scale: bfloat16 has the range of float32.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Compute forward passes in mixed precision."""
        with super().optim_context(model), autocast(device_type='cpu', dtype=torch.bfloat16):
            yield


def set_precision(config: Config, amp: bool) -> None:
    """Fit a config's optimizer wrapper to the precision that it, or `amp`, asks for, and to what there is.

    Detectors are never trained in bfloat16: mmcv's RoIAlign and NMS do not know it. On a CPU they, and what asks for
    float16, train in single precision.

    Raises:
        ValueError: mixed precision is asked for by `amp` where it cannot be had, or bfloat16 for a detector.
    """
    wrapper = config.get('optim_wrapper', {})
    kind = wrapper.get('type', 'OptimWrapper')
    kind = getattr(kind, '__name__', kind).rpartition('.')[-1]
    if amp and kind not in ('OptimWrapper', 'AmpOptimWrapper'):
        raise ValueError(f'--amp works with the optimizer wrapper OptimWrapper, not with the {kind} of this config')
    if not amp and kind != 'AmpOptimWrapper':
        return
    if has_accelerator():
        _on_gpu(config, amp)
        return
    hindrance = _hindrance(config, amp)
    if amp and hindrance:
        raise ValueError(f'--amp cannot be had here: {hindrance}; leave it out')
    for name in ('dtype', 'loss_scale', 'use_fsdp'):
        wrapper.pop(name, None)
    wrapper.type = 'OptimWrapper' if hindrance else 'mixmae_mm.CpuAmpOptimWrapper'
    if hindrance:
        say(f'training in single precision in place of the mixed precision of this config: {hindrance}')
    else:
        say('no GPU here: mixed precision in bfloat16 on the CPU')


def _on_gpu(config: Config, amp: bool) -> None:
    """Choose the type that the GPU, and the model's operators, multiply best; a type that the config names stays."""
    wrapper, detects = config.optim_wrapper, _detects(config)
    if amp:
        modern = torch.cuda.is_available() and torch.cuda.get_device_capability() >= (8, 0)
        wrapper.setdefault('dtype', 'bfloat16' if modern and not detects else 'float16')
        wrapper.type = 'AmpOptimWrapper'
    if detects and wrapper.get('dtype') in ('bfloat16', torch.bfloat16):
        raise ValueError(
            "detectors cannot train in bfloat16, which mmcv's RoIAlign and NMS do not know: set "
            '--cfg-options optim_wrapper.dtype=float16'
        )


def _hindrance(config: Config, amp: bool) -> str | None:
    """Say why a config cannot train in mixed precision on this CPU; None if it can."""
    if _detects(config):
        return "no GPU here, and mmcv's RoIAlign and NMS do not know the bfloat16 of CPUs"
    if find_strategy(config) is not None:
        return 'no GPU here, which FSDP and DeepSpeed want for it'
    if not multiplies_bfloat16():
        return 'no GPU here, and no CPU that multiplies bfloat16'
    if not amp and config.optim_wrapper.get('dtype') in ('float16', torch.float16):
        return 'no GPU here for its float16 (--amp trains in bfloat16 on this CPU)'
    return None


def _detects(config: Config) -> bool:
    """Tell whether a model finds boxes, as mmdet's do."""
    return not {'rpn_head', 'roi_head', 'bbox_head'}.isdisjoint(config.get('model') or {})


def multiplies_bfloat16(cpu: str = '/proc/cpuinfo') -> bool:
    """Tell whether this CPU has instructions for products of bfloat16; False where there is no such file to ask."""
    path = Path(cpu)
    lines = path.read_text().splitlines() if path.is_file() else []
    flags = {flag for line in lines if line.lower().startswith(('flags', 'features')) for flag in line.split()}
    return not MULTIPLY_BFLOAT16.isdisjoint(flags)
