"""Have mmengine read checkpoints, and what comes with them, without running code that they hold.

OneDL's mmengine unpickles anything that its own list of types does not cover; upstream's does so with what it
downloads, and both run configs stored in checkpoints. `CHANGES` says which module is changed by which function once it
is imported; `torch.load` stays as it is for everybody else.
"""

import functools
import importlib.util
import io
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from urllib.parse import urlparse

DEEPSPEED_TYPES = {
    'deepspeed.runtime.fp16.loss_scaler': ('LossScaler', 'DynamicLossScaler'),
    'deepspeed.runtime.zero.config': ('ZeroStageEnum',),
    'deepspeed.utils.tensor_fragment': ('fragment_address',),
    'mmengine.config.config': ('ConfigDict',),
}
"""What DeepSpeed's checkpoints name beside plain data; the last is in the settings that mmengine gives it."""


def read_by_our_list(module: ModuleType) -> None:
    """Put our reader in the place of each that `mmengine.runner.checkpoint` has, OneDL's or upstream's."""
    import torch

    class Torch(ModuleType):
        """PyTorch, but for its `load`."""

        load = staticmethod(read)

        def __getattr__(self, name: str) -> object:
            """Return what is PyTorch's."""
            return getattr(torch, name)

    module.torch = Torch('torch')
    module.load_url = read_address


def read(file: object, map_location: object = None, **_: object) -> object:
    """Read a checkpoint for mmengine, as `read_file` does."""
    from mixmae_mm.utils.safe_io.weights_file import read_file, without_config

    return without_config(read_file(file, map_location, mmap=False))


def read_address(url: str, model_dir: str | None = None, map_location: object = None, progress: bool = True) -> object:
    """Download a checkpoint to where PyTorch keeps them, unless it is there, and read it for mmengine."""
    from torch import hub

    file = Path(model_dir or os.path.join(hub.get_dir(), 'checkpoints'), Path(urlparse(url).path).name)
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        hub.download_url_to_file(url, str(file), progress=progress)
    return read(str(file), map_location)


def refuse_stored_configs(module: ModuleType) -> None:
    """Have inferencers of mmengine, mmdet and mmseg insist on a config, where they would run the checkpoint's."""
    prepare = module.BaseInferencer.__init__

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

    module.BaseInferencer.__init__ = prepare_by_config


def read_plain_annotations(module: ModuleType) -> None:
    """Have a module, which calls mmengine's `load`, read pickles by our list of types, and YAML without objects."""
    load = module.load

    @functools.wraps(load)
    def load_plain(file: object, file_format: str | None = None, **settings: object) -> object:
        from mmengine.fileio import get
        from yaml import safe_load

        from mixmae_mm.utils.safe_io.allow_list import read_plain_pickle

        kind = file_format or str(file).rpartition('.')[2]
        if kind not in ('pkl', 'pickle', 'yml', 'yaml'):
            return load(file, file_format, **settings)
        stream = io.BytesIO(get(file, **settings))
        try:
            return safe_load(stream) if kind.startswith('y') else read_plain_pickle(stream)
        except Exception as error:  # it may be corrupt in any way
            raise ValueError(
                f'{file} cannot be read as annotations without running code: {error}. Store them as JSON'
            ) from error

    module.load = load_plain


def check_folder(folder: str | Path) -> None:
    """Check that the files of DeepSpeed's checkpoints, which are folders, hold nothing that would run.

    Raises:
        ValueError: one does, or cannot be read.
    """
    from torch.serialization import safe_globals

    from mixmae_mm.utils.safe_io.weights_file import read_file

    types = []
    if importlib.util.find_spec('deepspeed'):
        modules = {importlib.import_module(name): names for name, names in DEEPSPEED_TYPES.items()}
        types = [getattr(module, name) for module, names in modules.items() for name in names]
    with safe_globals(types):
        for file in sorted(Path(folder).rglob('*.pt')):
            read_file(str(file))


def check_before_loading(module: ModuleType) -> None:
    """Have the strategy in `mmengine._strategy.deepspeed`, which unpickles anything, check each folder it loads."""
    for name in ('load_checkpoint', 'resume'):
        setattr(module.DeepSpeedStrategy, name, _checked(getattr(module.DeepSpeedStrategy, name)))


def _checked(load: Callable) -> Callable:
    """Check a folder before a method of the strategy loads it."""

    @functools.wraps(load)
    def load_checked(self: object, filename: str, **settings: object) -> object:
        from mixmae_mm.utils.safe_io.weights_file import without_config

        check_folder(filename)
        return without_config(load(self, filename, **settings))

    return load_checked


CHANGES: dict[str, Callable[[ModuleType], None]] = {
    'mmengine.runner.checkpoint': read_by_our_list,
    'mmengine.infer.infer': refuse_stored_configs,
    'mmengine.dataset.base_dataset': read_plain_annotations,
    'mmdet.datasets.base_det_dataset': read_plain_annotations,
    'mmengine._strategy.deepspeed': check_before_loading,
}
