"""Contexts in which a model is used without lasting effects on its modes, random states and the log."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.logging import MMLogger
from torch import nn

from mixmae_mm.utils.seed import kept_randomness


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Put a model into evaluation mode, uncompiled and without gradients; restore modes and random states on exit.

    Every module gets its own mode back, because frozen ones stay in evaluation mode in training. Compiling for other
    shapes would take minutes.
    """
    modes = [(module, module.training) for module in model.modules()]
    with kept_randomness(), torch.no_grad(), torch.compiler.set_stance('force_eager'):
        model.eval()
        try:
            yield
        finally:
            for module, training in modes:
                module.training = training


@contextmanager
def quiet_log(level: int = logging.WARNING) -> Iterator[None]:
    """Keep messages below a level, by default warnings, out of the log."""
    log = MMLogger.get_current_instance()
    before = log.level
    log.setLevel(max(before, level))
    try:
        yield
    finally:
        log.setLevel(before)
