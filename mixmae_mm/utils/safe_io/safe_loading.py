"""Make mmengine read checkpoints and annotations without running code in them.

OneDL's mmengine unpickles anything that its own list of types does not cover; upstream's does so with what it
downloads; both run configs stored in checkpoints. `torch.load` does not change for other callers.
"""

import io
import os
import sys
from pathlib import Path
from types import ModuleType
from urllib.parse import urlparse

import mmengine.runner.checkpoint
import torch
import yaml
from mmengine import fileio
from mmengine._strategy.deepspeed import DeepSpeedStrategy
from mmengine.infer import BaseInferencer

from mixmae_mm.utils.safe_io.allow_list import PlainUnpickler
from mixmae_mm.utils.safe_io.weights_file import read_file, without_config

LOAD_ANYTHING, PREPARE = fileio.load, BaseInferencer.__init__


class Torch(ModuleType):
    """PyTorch with a different `load`."""

    @staticmethod
    def load(file: object, map_location: object = None, **_: object) -> object:
        """Read a checkpoint for mmengine as `read_file` does, and leave out the config inside."""
        return without_config(read_file(file, map_location, mmap=False))

    def __getattr__(self, name: str) -> object:
        """Return an attribute of PyTorch."""
        return getattr(torch, name)


def guard() -> None:
    """Replace mmengine's readers by ours."""
    mmengine.runner.checkpoint.torch = Torch('torch')
    mmengine.runner.checkpoint.load_url = read_address
    BaseInferencer.__init__ = prepare_by_config
    for name, module in [*sys.modules.items()]:  # in mmengine, and in libraries imported before
        if getattr(module, '__dict__', {}).get('load') is LOAD_ANYTHING and not name.startswith('mmengine.config'):
            module.load = load_plain
    DeepSpeedStrategy.load_checkpoint = DeepSpeedStrategy.resume = refuse_deepspeed


def read_address(url: str, model_dir: str | None = None, map_location: object = None, progress: bool = True) -> object:
    """Download a checkpoint to PyTorch's cache, unless it is there already, and read it for mmengine."""
    file = Path(model_dir or os.path.join(torch.hub.get_dir(), 'checkpoints'), Path(urlparse(url).path).name)
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(file), progress=progress)
    return Torch.load(str(file), map_location)


def prepare_by_config(
    self: BaseInferencer, model: object = None, weights: str | None = None, *args: object, **kwargs: object
) -> None:
    """Prepare an inferencer; refuse one without a config, because it would run the config in the checkpoint."""
    if model is None and weights is not None:
        raise ValueError(
            f'{weights} alone is not enough: the config inside a checkpoint is a program by whoever wrote it, and is '
            'not run. Name the config file too: model=CONFIG'
        )
    PREPARE(self, model, weights, *args, **kwargs)


def load_plain(file: object, file_format: str | None = None, **settings: object) -> object:
    """Read annotations: pickles by our list of types, YAML without objects, other formats as mmengine does."""
    kind = file_format or str(file).rpartition('.')[2]
    if kind not in ('pkl', 'pickle', 'yml', 'yaml'):
        return LOAD_ANYTHING(file, file_format, **settings)
    stream = io.BytesIO(fileio.get(file, **settings))
    try:
        return yaml.safe_load(stream) if kind.startswith('y') else PlainUnpickler(stream).load()
    except Exception as error:  # it may be corrupt in any way
        raise ValueError(
            f'{file} cannot be read as annotations without running code: {error}. Store them as JSON'
        ) from error


def refuse_deepspeed(self: object, *_: object, **__: object) -> None:
    """Stand in for the methods of mmengine's `DeepSpeedStrategy` that unpickle anything."""
    raise ValueError('DeepSpeed checkpoints may run code: shard with FSDP, configs/_base_/strategies/fsdp.py')
