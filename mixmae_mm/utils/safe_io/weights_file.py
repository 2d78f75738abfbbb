"""Weights in a file, read without running any code that it may hold."""

import re
import struct
import zipfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from pickle import UnpicklingError
from typing import BinaryIO

import torch
from mmengine.fileio import get_local_path
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from mixmae_mm.utils.safe_io.allow_list import allow_checkpoint_types
from mixmae_mm.utils.safe_io.pickled_names import describe_demands

CONTAINERS = ('state_dict', 'model', 'module')
"""Keys of the weights in files that hold more: mmengine's, those of MixMIM, MAE and DeiT, DeepSpeed's."""

CORRUPT = (
    UnpicklingError, EOFError, RuntimeError, ValueError, LookupError, AttributeError, TypeError, AssertionError,
    MemoryError, OverflowError, SafetensorError, zipfile.BadZipFile, struct.error,
)  # fmt: skip
"""Raised by reading a file that is corrupt, truncated or something else."""


def read_weights(checkpoint: str) -> dict[str, Tensor]:
    """Read the weights in a file, bare or in one of the `CONTAINERS`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it holds no weights, or something that only running code could read.
    """
    content = read_file(checkpoint)
    for container in CONTAINERS:
        if isinstance(content, Mapping) and isinstance(content.get(container), Mapping):
            content = content[container]
    if not isinstance(content, Mapping):
        raise ValueError(f'{checkpoint} holds a {type(content).__name__}, not weights by name: it is not a checkpoint')
    weights = {name: value for name, value in content.items() if isinstance(value, Tensor)}
    if not weights:
        raise ValueError(f'{checkpoint} holds no weights, only {sorted(map(str, content))[:5]}: it is not a checkpoint')
    return weights


def read_file(checkpoint: str | BinaryIO, map_location: object = 'cpu', mmap: bool = True) -> object:
    """Read all that is in a checkpoint: PyTorch's or safetensors, on this machine, at an address, or as a stream.

    Args:
        checkpoint: The file.
        map_location: Where tensors go, as of `torch.load`.
        mmap: Map the file: what is not used of it is then never read, and it must stay as it is.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is something else, corrupt, or to be read only by running code that it holds.
    """
    if hasattr(checkpoint, 'read'):
        allow_checkpoint_types()
        load = partial(torch.load, checkpoint, map_location, weights_only=True)
        return _try(load, 'this checkpoint', checkpoint)
    if '://' not in checkpoint:
        return _read_local(checkpoint, checkpoint, map_location, mmap)
    with get_local_path(checkpoint) as path:
        return _read_local(str(path), checkpoint, map_location, mmap)


def without_config(content: object) -> object:
    """Take `meta.config` out of a checkpoint, a program that mmengine runs on resuming; it stores `meta.cfg` itself."""
    if isinstance(content, dict) and isinstance(content.get('meta'), dict):
        content['meta'].pop('config', None)
    return content


def _read_local(path: str, called: str, map_location: object, mmap: bool) -> object:
    """Read a file of this machine."""
    if not Path(path).is_file():
        raise FileNotFoundError(f'there is no checkpoint {called}')
    if Path(called).suffix == '.safetensors':
        device = str(map_location) if isinstance(map_location, str | torch.device) else 'cpu'
        return _try(lambda: load_file(path, device), called, path)
    packed = _try(lambda: zipfile.is_zipfile(path), called)  # raises for archives on several disks
    if packed:
        _try(lambda: _check_unpacked_size(path), called, path)
    allow_checkpoint_types()  # again: `torch.serialization.safe_globals` takes off the list what it put there twice
    load = partial(torch.load, path, map_location, weights_only=True, mmap=mmap and packed)
    return _try(load, called, path)


def _check_unpacked_size(path: str) -> None:
    """Refuse compressed archives, which may unpack to any size; PyTorch's are not compressed."""
    with zipfile.ZipFile(path) as archive:
        inside = sum(entry.file_size for entry in archive.infolist())
        compressed = any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist())
    size = Path(path).stat().st_size
    if compressed or inside > size:
        raise ValueError(
            f'its {size} bytes unpack to {inside}; PyTorch does not compress its files, so it is something else'
        )


def _try(read: Callable[[], object], called: str, file: str | BinaryIO | None = None) -> object:
    """Read a file, or raise an error that says what it may be."""
    try:
        return read()
    except CORRUPT as error:
        raise ValueError(
            f'{called} cannot be read as weights without running code: {explain(error, file)}. It is not a checkpoint, '
            'was cut off, or holds pickled objects; if it is a checkpoint that you trust, have the program that wrote '
            'it save its state_dict alone: torch.save(model.state_dict(), FILE)'
        ) from error


def explain(error: Exception, file: str | Path | BinaryIO | None = None) -> str:
    """Return the names that a refused file asks for, or the first line of PyTorch's message."""
    asked = re.search(r'GLOBAL (\S+)', str(error))
    if asked:
        return f'it asks for {asked[1]}'
    own = re.split(r'WeightsUnpickler error:\s*|\n\n', str(error).partition('\n\nCheck the documentation')[0])[-1]
    found = describe_demands(file) if file else ''
    return found or own.strip().partition('\n')[0] or type(error).__name__
