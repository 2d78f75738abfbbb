"""Have mmengine read checkpoints, and what comes with them, without running code that they hold.

OneDL's mmengine unpickles anything that its own list of types does not cover; upstream's does so with what it
downloads, and both run configs stored in checkpoints. `torch.load` stays as it is for everybody else.
"""

import functools
import importlib.util
import io
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from urllib.parse import urlparse

import mmengine.runner.checkpoint
import torch
import yaml
from mmengine import fileio
from mmengine._strategy.deepspeed import DeepSpeedStrategy
from mmengine.dataset import base_dataset
from mmengine.infer import BaseInferencer

from mixmae_mm.utils.safe_io.allow_list import read_plain_pickle
from mixmae_mm.utils.safe_io.weights_file import read_file, without_config

LOAD_ANYTHING = fileio.load
DEEPSPEED_TYPES = {
    'deepspeed.runtime.fp16.loss_scaler': ('LossScaler', 'DynamicLossScaler'),
    'deepspeed.runtime.zero.config': ('ZeroStageEnum',),
    'deepspeed.utils.tensor_fragment': ('fragment_address',),
    'mmengine.config.config': ('ConfigDict',),
}
"""What DeepSpeed's checkpoints name beside plain data; the last is in the settings that mmengine gives it."""


class Torch(ModuleType):
    """PyTorch, but for its `load`."""

    @staticmethod
    def load(file: object, map_location: object = None, **_: object) -> object:
        """Read a checkpoint for mmengine, as `read_file` does."""
        return without_config(read_file(file, map_location, mmap=False))

    def __getattr__(self, name: str) -> object:
        """Return what is PyTorch's."""
        return getattr(torch, name)


def guard() -> None:
    """Put our readers in the place of mmengine's."""
    mmengine.runner.checkpoint.torch = Torch('torch')
    mmengine.runner.checkpoint.load_url = read_address
    BaseInferencer.__init__ = insist_on_config(BaseInferencer.__init__)
    fileio.load = base_dataset.load = load_plain  # the first is what mmdet imports
    if 'mmdet.datasets.base_det_dataset' in sys.modules:
        sys.modules['mmdet.datasets.base_det_dataset'].load = load_plain
    for name in ('load_checkpoint', 'resume'):
        setattr(DeepSpeedStrategy, name, check_before(getattr(DeepSpeedStrategy, name)))


def read_address(url: str, model_dir: str | None = None, map_location: object = None, progress: bool = True) -> object:
    """Download a checkpoint to where PyTorch keeps them, unless it is there, and read it for mmengine."""
    file = Path(model_dir or os.path.join(torch.hub.get_dir(), 'checkpoints'), Path(urlparse(url).path).name)
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(file), progress=progress)
    return Torch.load(str(file), map_location)


def insist_on_config(prepare: Callable) -> Callable:
    """Have inferencers of mmengine, mmdet and mmseg insist on a config, where they would run the checkpoint's."""

    @functools.wraps(prepare)
    def prepare_by_config(
        self: object, model: object = None, weights: str | None = None, *args: object, **kwargs: object
    ) -> None:
        if model is None and weights is not None:
            raise ValueError(
                f'{weights} alone does not do: the config inside a checkpoint is a program of whoever wrote it, and is '
                'not run. Name the config file too: model=CONFIG'
            )
        prepare(self, model, weights, *args, **kwargs)

    return prepare_by_config


def load_plain(file: object, file_format: str | None = None, **settings: object) -> object:
    """Read annotations: pickles by our list of types, YAML without objects, all else as mmengine does."""
    kind = file_format or str(file).rpartition('.')[2]
    if kind not in ('pkl', 'pickle', 'yml', 'yaml'):
        return LOAD_ANYTHING(file, file_format, **settings)
    stream = io.BytesIO(fileio.get(file, **settings))
    try:
        return yaml.safe_load(stream) if kind.startswith('y') else read_plain_pickle(stream)
    except Exception as error:  # it may be corrupt in any way
        raise ValueError(
            f'{file} cannot be read as annotations without running code: {error}. Store them as JSON'
        ) from error


def check_folder(folder: str | Path) -> None:
    """Check that the files of DeepSpeed's checkpoints, which are folders, hold nothing that would run."""
    types = []
    if importlib.util.find_spec('deepspeed'):
        modules = {importlib.import_module(name): names for name, names in DEEPSPEED_TYPES.items()}
        types = [getattr(module, name) for module, names in modules.items() for name in names]
    with torch.serialization.safe_globals(types):
        for file in sorted(Path(folder).rglob('*.pt')):
            read_file(str(file))


def check_before(load: Callable) -> Callable:
    """Check a folder before a method of mmengine's strategy, which unpickles anything, loads it."""

    @functools.wraps(load)
    def load_checked(self: object, filename: str, **settings: object) -> object:
        check_folder(filename)
        return without_config(load(self, filename, **settings))

    return load_checked
