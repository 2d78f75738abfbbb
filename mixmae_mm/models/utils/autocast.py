"""What autocast does to products, and how to do without it."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

RECENT = hasattr(torch, 'get_autocast_dtype')
"""Whether PyTorch, from 2.4 on, can be asked about autocast by the name of a device."""


def without_autocast(x: Tensor) -> AbstractContextManager[None]:
    """Compute in the tensors' own types, on the device of `x`."""
    try:
        return torch.autocast(x.device.type, enabled=False)
    except RuntimeError:  # PyTorch has no autocast there (meta; Apple's GPUs before 2.5), so none can be on
        return nullcontext()


def halves_products(x: Tensor) -> bool:
    """Return whether products with a tensor on the CPU are computed in half precision: its own, or autocast's."""
    if x.dtype in (torch.bfloat16, torch.float16):
        return True
    return torch.is_autocast_enabled('cpu') if RECENT else torch.is_autocast_cpu_enabled()
