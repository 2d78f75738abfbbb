"""The precision of a training run: the one set in its config, if the device and the model's operators support it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.optim import OptimWrapper
from mmengine.runner.amp import autocast
from torch import nn

from mixmae_mm.engine.strategies.settings import plain_type
from mixmae_mm.registry import OPTIM_WRAPPERS
from mixmae_mm.utils.launching import say

MULTIPLY_BFLOAT16 = {'avx512_bf16', 'amx_bf16', 'bf16'}  # in a CPU's flags on Linux; the last is ARM's
HAVE_MIXED = ('cuda', 'npu', 'mlu', 'musa')  # where mmengine's `AmpOptimWrapper` trains; it refuses Apple's mps
BFLOAT16 = ('bfloat16', torch.bfloat16)


@OPTIM_WRAPPERS.register_module()
class CpuAmpOptimWrapper(OptimWrapper):
    """bfloat16 autocast on a CPU, which mmengine's `AmpOptimWrapper` refuses. The loss is not scaled."""

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Run the forward passes inside this context in mixed precision."""
        with super().optim_context(model), autocast(device_type='cpu', dtype=torch.bfloat16):
            yield


def set_precision(config: Config, amp: bool) -> None:
    """Adapt a config's optimizer wrapper to the precision that the config or `amp` asks for, and to the device.

    Raise ValueError if `amp` asks for mixed precision that is not available, or bfloat16 for a model with RoIAlign.
    """
    wrapper = config.get('optim_wrapper')
    if wrapper is None:
        if amp:
            raise ValueError('--amp needs an optim_wrapper in the config, which has none')
        return
    if plain_type(wrapper) == CpuAmpOptimWrapper.__name__:  # written out by a run on a CPU
        wrapper.update(type='AmpOptimWrapper', dtype='bfloat16')
    kind = plain_type(wrapper, 'OptimWrapper')
    if amp and kind not in ('OptimWrapper', 'AmpOptimWrapper'):
        raise ValueError(f'--amp works with the optimizer wrapper OptimWrapper, not with the {kind} of this config')
    if amp or kind == 'AmpOptimWrapper':
        set_here = _on_gpu if get_device() in HAVE_MIXED else _elsewhere
        set_here(config, amp, _aligns(config.get('model')))


def _on_gpu(config: Config, amp: bool, aligns: bool) -> None:
    """Choose the data type best suited to the GPU and the model's operators; one that the config sets is kept."""
    wrapper = config.optim_wrapper
    if amp:
        modern = torch.cuda.is_available() and torch.cuda.get_device_capability() >= (8, 0)
        wrapper.setdefault('dtype', 'bfloat16' if modern and not aligns else 'float16')
        wrapper.type = 'AmpOptimWrapper'
    if wrapper.get('dtype') in BFLOAT16:
        if aligns:
            raise ValueError(
                "models with a roi_head cannot train in bfloat16, which mmcv's RoIAlign does not support: set "
                '--cfg-options optim_wrapper.dtype=float16'
            )
        wrapper.loss_scale = dict(enabled=False)  # in float32's range there is nothing to scale, nor to wait for


def _elsewhere(config: Config, amp: bool, aligns: bool) -> None:
    """Choose bfloat16 if asked for and supported by this CPU, else single precision (`ValueError` with `amp`)."""
    wrapper, device = config.optim_wrapper, get_device()
    fits = not aligns and not config.get('strategy') and (amp or wrapper.get('dtype') in BFLOAT16)
    mixed = fits and device == 'cpu' and multiplies_bfloat16()
    needs = (
        f'the device is {device}; without a GPU, mixed precision needs a CPU with bfloat16 instructions, a model '
        'without a roi_head, and no strategy'
    )
    if amp and not mixed:
        raise ValueError(f'--amp is unavailable here: {needs}; leave it out')
    for name in ('dtype', 'loss_scale', 'use_fsdp'):
        wrapper.pop(name, None)
    wrapper.type = 'mixmae_mm.CpuAmpOptimWrapper' if mixed else 'OptimWrapper'
    say('training in bfloat16 on the CPU' if mixed else f'training in single precision here: {needs}')


def _aligns(settings: object) -> bool:
    """Return whether a model or a part of it has a RoI head, which uses RoIAlign."""
    if isinstance(settings, dict):
        return settings.get('roi_head') is not None or any(map(_aligns, settings.values()))
    return isinstance(settings, list | tuple) and any(map(_aligns, settings))


def multiplies_bfloat16(cpu: str = '/proc/cpuinfo') -> bool:
    """Return whether this CPU has instructions for bfloat16 products; False if that is unknown."""
    lines = Path(cpu).read_text().splitlines() if Path(cpu).is_file() else []
    flags = {flag for line in lines if line.lower().startswith(('flags', 'features')) for flag in line.split()}
    return not MULTIPLY_BFLOAT16.isdisjoint(flags)
