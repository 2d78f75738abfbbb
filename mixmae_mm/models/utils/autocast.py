"""Computation without autocast."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def without_autocast(x: Tensor) -> AbstractContextManager[None]:
    """Switch autocast off on the device of `x`."""
    try:
        return torch.autocast(x.device.type, enabled=False)
    except RuntimeError:  # PyTorch has no autocast there (meta; Apple's GPUs before 2.5), so none can be on
        return nullcontext()
