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
        self.options = options

    def before_train(self, runner: Runner) -> None:
        """Compile the backbone: its `forward`, and of a `MixingViT` also `encode`; not one that measures padding."""
        self.backbone = getattr(runner.model, 'module', runner.model).backbone
        if getattr(self.backbone, 'pad_value', None) is not None:
            raise ValueError(
                f'a backbone with pad_value (here {self.backbone.pad_value}) measures the images of each batch, which '
                'cannot be compiled: leave CompileBackboneHook out, or set pad_value=None where no image is padded'
            )
        compile_backbone(self.backbone, **self.options)

    def after_train(self, runner: Runner) -> None:
        """Remove the compiled `encode`: a copy of the backbone would compute with the original's weights."""
        vars(self.backbone).pop('encode', None)


def compile_backbone(backbone: nn.Module, **options: object) -> None:
    """Compile the methods of an encoder that are called, in place, as one graph unless `options` say otherwise."""
    options = dict(fullgraph=True) | options
    backbone.compile(**options)
    if hasattr(backbone, 'encode'):
        backbone.encode = torch.compile(type(backbone).encode.__get__(backbone), **options)
