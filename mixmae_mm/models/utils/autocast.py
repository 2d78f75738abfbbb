"""Computation without autocast."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def without_autocast(x: Tensor) -> AbstractContextManager[None]:
    """Return a context that switches autocast off on the device of `x`."""
    try:
        return torch.autocast(x.device.type, enabled=False)
    except RuntimeError:  # the device has no autocast (meta; Apple's GPUs before PyTorch 2.5), so none can be on
        return nullcontext()
