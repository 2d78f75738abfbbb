"""Models without weights."""

import contextlib
from unittest import mock

import torch
from torch.nn import init

DRAWING = [name for name in vars(init) if name.endswith('_') and not name.startswith('_')]


@contextlib.contextmanager
def on_meta():
    """Build on the device `meta` without drawing initial weights, which PyTorch does there in Python, slowly."""
    with torch.device('meta'), mock.patch.multiple(init, **{name: lambda x, *_, **settings: x for name in DRAWING}):
        yield
