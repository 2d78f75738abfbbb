"""Have mmengine read checkpoints, and what comes with them, without running code that they hold.

OneDL's mmengine unpickles anything that its own list of types does not cover; upstream's does so with what it
downloads, and with everything under `TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD`. Both run configs stored in checkpoints. Each
module that does is changed once it is imported; `torch.load` stays as it is for everybody else.
"""

import functools
import importlib
import os
from pathlib import Path
from types import ModuleType
from urllib.parse import urlparse

from mixmae_mm.utils.import_changes import Change, ChangeOnImport


def guard_loading() -> None:
    """Have mmengine read by our list of types, wherever it reads: see above."""
    changes = {
        'mmengine.runner.checkpoint': read_by_our_list,
        'mmengine.infer.infer': refuse_stored_configs,
        'mmengine.dataset.base_dataset': _later('plain_annotations', 'read_plain_annotations'),
        'mmdet.datasets.base_det_dataset': _later('plain_annotations', 'read_plain_annotations'),
        'mmengine._strategy.deepspeed': _later('deepspeed_folders', 'check_before_loading'),
    }
    ChangeOnImport(changes).install()


def _later(module: str, name: str) -> Change:
    """Import a change of ours when it is made, as it needs mmengine and torch."""
    return lambda theirs: getattr(importlib.import_module(f'mixmae_mm.utils.safe_io.{module}'), name)(theirs)


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
    """Read a checkpoint for mmengine.

    Raises:
        FileNotFoundError: as of `read_file`.
        ValueError: the same.
    """
    from mixmae_mm.utils.safe_io.weights_file import read_file, without_config

    return without_config(read_file(file, map_location, mmap=False))


def read_address(
    url: str, model_dir: str | None = None, map_location: object = None, progress: bool = True
) -> object:
    """Download a checkpoint to where PyTorch keeps them, unless it is there, and read it for mmengine.

    Raises:
        ValueError: as of `read_file`.
    """
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
