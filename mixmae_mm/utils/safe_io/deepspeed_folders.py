"""Checkpoints of DeepSpeed, which are folders, checked before DeepSpeed loads them: it unpickles whatever they hold."""

import functools
import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from mixmae_mm.utils.safe_io.weights_file import read_file, without_config

TYPES = {
    'deepspeed.runtime.fp16.loss_scaler': ('LossScaler', 'DynamicLossScaler'),
    'deepspeed.runtime.zero.config': ('ZeroStageEnum',),
    'deepspeed.utils.tensor_fragment': ('fragment_address',),
    'mmengine.config.config': ('ConfigDict',),
}
"""What DeepSpeed's checkpoints name beside plain data; the last is in the settings that mmengine gives it."""


def check_folder(folder: str | Path) -> None:
    """Check that the files of a checkpoint hold nothing that would run.

    Raises:
        ValueError: one does, or cannot be read.
    """
    from torch.serialization import safe_globals

    with safe_globals(_types()):
        for file in sorted(Path(folder).rglob('*.pt')):
            read_file(str(file))


def check_before_loading(module: ModuleType) -> None:
    """Have the strategy in `mmengine._strategy.deepspeed` check each folder that it loads."""
    for name in ('load_checkpoint', 'resume'):
        setattr(module.DeepSpeedStrategy, name, _checked(getattr(module.DeepSpeedStrategy, name)))


def _checked(load: Callable) -> Callable:
    """Check a folder before a method of the strategy loads it."""

    @functools.wraps(load)
    def load_checked(self: object, filename: str, **settings: object) -> object:
        check_folder(filename)
        return without_config(load(self, filename, **settings))

    return load_checked


def _types() -> list[type]:
    """List the types that the checkpoints name, where DeepSpeed is installed."""
    if not importlib.util.find_spec('deepspeed'):
        return []
    modules = {importlib.import_module(name): names for name, names in TYPES.items()}
    return [getattr(module, name) for module, names in modules.items() for name in names]
