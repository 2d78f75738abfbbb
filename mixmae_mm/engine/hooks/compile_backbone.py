"""A hook that compiles the encoder."""

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn

from mixmae_mm.registry import HOOKS


@HOOKS.register_module()
class CompileBackboneHook(Hook):
    """Hook that compiles the backbone with `torch.compile` before training; names in checkpoints do not change.

        python tools/train.py CONFIG --cfg-options default_hooks.compile.type=mixmae_mm.CompileBackboneHook

    Args:
        options: Arguments of `torch.compile`, such as `backend`, `mode` and `dynamic`; by default, graph breaks raise,
            except in encoders of other libraries that are masked by source, whose graph breaks at each attention, and
            with `with_cp` and homologous attention, which keeps its precision inside a checkpoint.
    """

    priority = 'LOW'

    def __init__(self, **options: object) -> None:
        self.options = options

    def before_train(self, runner: Runner) -> None:
        """Compile the backbone; raise `ValueError` for one with `pad_value`, which cannot be compiled."""
        model = getattr(runner.model, 'module', runner.model)
        self.backbone = model.backbone
        if getattr(self.backbone, 'pad_value', None) is not None:
            raise ValueError(
                f'a backbone with pad_value (here {self.backbone.pad_value}) measures the images of each batch, which '
                'cannot be compiled: leave CompileBackboneHook out, or set pad_value=None where no image is padded'
            )
        guesses = getattr(self.backbone, 'attention', None) == 'homologous'
        measured = guesses and self.backbone.settings.get('with_cp')
        whole = getattr(model, 'masking', None) is None and not measured
        compile_backbone(self.backbone, **dict(fullgraph=whole) | self.options)

    def after_train(self, runner: Runner) -> None:
        """Remove the compiled `encode`, because in a copy of the backbone it would still use the original's weights."""
        vars(self.backbone).pop('encode', None)


def compile_backbone(backbone: nn.Module, **options: object) -> None:
    """Compile `forward` and, if there is one, `encode` in place, each as one graph unless `options` say otherwise."""
    options = dict(fullgraph=True) | options
    backbone.compile(**options)
    if hasattr(backbone, 'encode'):
        backbone.encode = torch.compile(type(backbone).encode.__get__(backbone), **options)
