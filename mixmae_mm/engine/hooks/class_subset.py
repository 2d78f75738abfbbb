"""A hook for test sets that have only some of the classes that a classifier was trained on."""

from collections.abc import Sequence
from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from mixmae_mm.registry import HOOKS

LAYER = 'head.fc.'


@HOOKS.register_module()
class ClassSubsetHook(Hook):
    """Hook that restricts a checkpoint's classifier to some of its classes before it is loaded.

    The model's head must have as many classes as are kept. The file does not change.

    Args:
        labels: For each class of the test set, in its order, the label that the class has in the checkpoint.
    """

    priority = 'HIGH'  # before the checkpoint is compared with the model

    def __init__(self, labels: Sequence[int]) -> None:
        self.labels = list(labels)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Select the rows of these classes in the last layer; raise `ValueError` if it is missing or has too few."""
        state = checkpoint.get('state_dict', checkpoint)
        names = [name for name in state if name.removeprefix('module.').startswith(LAYER)]
        if not names or any(len(state[name]) <= max(self.labels) for name in names):
            sizes = {name: tuple(state[name].shape) for name in names} or f'no {LAYER}*'
            raise ValueError(
                f'classes up to {max(self.labels)} are needed from this checkpoint, which has {sizes}: use one of a '
                'classifier of all classes'
            )
        state.update({name: state[name][self.labels] for name in names})
