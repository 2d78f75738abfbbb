"""Weights in a file, read without running any code that it may hold."""

import re
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError

import torch
from mmengine.fileio import get_local_path
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from mixmae_mm.compat import allow_checkpoint_types

CONTAINERS = ('state_dict', 'model', 'module')
"""Where weights stand in files that hold more: mmengine's, those of MixMIM, MAE and DeiT, DeepSpeed's."""

UNREADABLE = (
    UnpicklingError, EOFError, RuntimeError, ValueError, LookupError, AttributeError, TypeError, AssertionError,
    MemoryError, OverflowError, SafetensorError, zipfile.BadZipFile, struct.error,
)  # fmt: skip
"""What reading a file that is damaged, cut off or something else ends in."""


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
        raise ValueError(f'{checkpoint} holds a {type(content).__name__}, not weights by name: it is no checkpoint')
    weights = {name: value for name, value in content.items() if isinstance(value, Tensor)}
    if not weights:
        raise ValueError(f'{checkpoint} holds no weights, only {sorted(map(str, content))[:5]}: it is no checkpoint')
    return weights


def read_file(checkpoint: str) -> object:
    """Read all that is in a checkpoint, on the CPU: PyTorch's or safetensors, on this machine or at an address.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is something else, damaged, or to be read only by running code that it holds.
    """
    if '://' not in checkpoint:
        return _read_local(checkpoint, checkpoint)
    with get_local_path(checkpoint) as path:
        return _read_local(str(path), checkpoint)


def _read_local(path: str, called: str) -> object:
    """Read a file of this machine."""
    if not Path(path).is_file():
        raise FileNotFoundError(f'there is no checkpoint {called}')
    if Path(called).suffix == '.safetensors':
        return _try(lambda: load_file(path), called)
    packed = _try(lambda: zipfile.is_zipfile(path), called)  # raises for archives on several disks
    if packed:
        _try(lambda: _check_unpacked_size(path), called)
    allow_checkpoint_types()  # again: mmengine's own reading ends by taking some of them off the list
    # what a mapped file holds beside the weights asked for, such as an optimizer's state, is never read
    return _try(lambda: torch.load(path, map_location='cpu', weights_only=True, mmap=packed), called)


def _check_unpacked_size(path: str) -> None:
    """Refuse archives that unpack to more than they are; PyTorch's are not compressed.

    Raises:
        ValueError: this one is.
    """
    with zipfile.ZipFile(path) as archive:
        inside = sum(entry.file_size for entry in archive.infolist())
        compressed = any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist())
    size = Path(path).stat().st_size
    if compressed or inside > size:
        raise ValueError(
            f'its {size} bytes unpack to {inside}; PyTorch does not compress its files, so it is something else'
        )


def _try(read: object, called: str) -> object:
    """Read, or say what a file that cannot be read may be.

    Raises:
        ValueError: it cannot be read.
    """
    try:
        return read()
    except UNREADABLE as error:
        wants = re.search(r'Unsupported \w+: GLOBAL (\S+)', str(error))
        reason = f'it asks for {wants[1]}' if wants else str(error).strip().partition('\n')[0] or type(error).__name__
        raise ValueError(
            f'{called} cannot be read as weights without running code: {reason}. It is no checkpoint, was cut off, or '
            'holds pickled objects; if it is a checkpoint that you trust, have the program that wrote it save its '
            'state_dict alone: torch.save(model.state_dict(), FILE)'
        ) from error
