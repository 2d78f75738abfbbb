"""Compile the encoder."""

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn

from mixmae_mm.registry import HOOKS


@HOOKS.register_module()
class CompileBackboneHook(Hook):
    """Compile a model's backbone by `torch.compile` before training; names in checkpoints stay as they are.

        python tools/train.py CONFIG --cfg-options default_hooks.compile.type=mixmae_mm.CompileBackboneHook

    Args:
        options: Of `torch.compile`, such as `backend`, `mode` and `dynamic`; by default no graph may be broken.
    """

    priority = 'LOW'

    def __init__(self, **options: object) -> None:
        self.options = dict(fullgraph=True) | options

    def before_train(self, runner: Runner) -> None:
        """Compile the backbone, inside of whatever wraps the model."""
        compile_encoder(getattr(runner.model, 'module', runner.model).backbone, **self.options)


def compile_encoder(encoder: nn.Module, **options: object) -> None:
    """Compile, in place, what an encoder is called by: `forward`, and of a `MixedAEViT` also `encode`."""
    for name in ('forward', 'encode'):
        if hasattr(encoder, name):
            setattr(encoder, name, torch.compile(getattr(encoder, name), **options))
