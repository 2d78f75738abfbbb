"""The one reader of checkpoints, which runs no code that a file may hold."""

import re
import zipfile
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import BinaryIO

import torch
from mmengine.fileio import get_local_path
from safetensors.torch import load_file
from torch import Tensor

from mixmae_mm.utils.safe_io.allow_list import allow_checkpoint_types
from mixmae_mm.utils.safe_io.checksum import check_sum

CONTAINERS = ('state_dict', 'model', 'module')
"""Keys of the weights in files that hold more: for mmengine; for MixMIM, MAE and DeiT; for DeepSpeed."""
HARMLESS = re.compile(r'torch\.|collections\.|numpy\.|argparse\.Namespace$|mmengine\.logging\.|_codecs\.encode$')
NAMES = re.compile(rb'(?<!q)c([\w.]+)\n([\w.]+)\n'), re.compile(rb'\x8c.([\w.]+)\x94\x8c.([\w.]+)\x94\x93', re.DOTALL)
"""Patterns for the module and name of a type in a pickle, up to protocol 3 and from 4 on."""
LARGEST = 1 << 24
"""Maximum number of bytes of a refused file that are searched for the reason."""


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
    """Read the whole content of a checkpoint, PyTorch's or safetensors: a local file, a URL or a stream.

    With `mmap` the file is mapped to memory: unused parts are never read, and the file must not change.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no checkpoint, is damaged, or could only be read by running code in it.
    """
    is_stream = hasattr(checkpoint, 'read')
    remote = not is_stream and '://' in checkpoint
    with get_local_path(checkpoint) if remote else nullcontext(checkpoint) as file:
        if not is_stream and not Path(file).is_file():
            raise FileNotFoundError(f'there is no checkpoint {checkpoint}')
        if not is_stream:
            check_sum(file)
        try:
            return _load(file, '' if is_stream else checkpoint, map_location, mmap)
        except Exception as error:  # readers raise many types of errors for other files
            raise ValueError(
                f'{"this checkpoint" if is_stream else checkpoint} cannot be read as weights without running code: '
                f'{explain(error, file)}. It is not a checkpoint, was cut off, or holds pickled objects; if it is a '
                'checkpoint that you trust, have the program that wrote it save only its state_dict: '
                'torch.save(model.state_dict(), FILE)'
            ) from error


def without_config(content: object) -> object:
    """Remove `meta.config`, a program that mmengine would run on resuming; what it stores itself is `meta.cfg`."""
    if isinstance(content, dict) and isinstance(content.get('meta'), dict):
        content['meta'].pop('config', None)
    return content


def _load(file: str | Path | BinaryIO, called: str, map_location: object, mmap: bool) -> object:
    """Read a file or a stream; refuse archives whose content is larger than the file."""
    if Path(called).suffix == '.safetensors':
        return load_file(file, str(map_location) if isinstance(map_location, str | torch.device) else 'cpu')
    packed = bool(called) and zipfile.is_zipfile(file)
    if packed:
        size = Path(file).stat().st_size
        with zipfile.ZipFile(file) as archive:
            inside = sum(entry.file_size for entry in archive.infolist())
        if inside > size:
            raise ValueError(f'its {size} bytes unpack to {inside}; PyTorch does not compress its files')
    allow_checkpoint_types()  # again, as leaving `torch.serialization.safe_globals` removes even types listed before
    return torch.load(file, map_location, weights_only=True, mmap=mmap and packed)


def explain(error: Exception, file: str | Path | BinaryIO) -> str:
    """Return the type that a refused file asks for, or the first line of the reader's message."""
    asked = re.search(r'GLOBAL (\S+)', str(error))
    if asked:
        return f'it asks for {asked[1]}'
    own = re.split(r'WeightsUnpickler error:\s*|\n\n', str(error).partition('\n\nCheck the documentation')[0])[-1]
    return _find_demand(file) or own.strip().partition('\n')[0] or type(error).__name__


def _find_demand(file: str | Path | BinaryIO) -> str:
    """Name the first type in the pickles of a refused file that is not harmless; return '' if there is none."""
    try:
        with open(file, 'rb') if isinstance(file, str | Path) else nullcontext(file) as stream:
            stream.seek(0)
            content = stream.read(LARGEST)
            if zipfile.is_zipfile(stream):
                archive = zipfile.ZipFile(stream)
                names = [name for name in archive.namelist() if name.endswith('.pkl')]
                content = b''.join(archive.open(name).read(LARGEST) for name in names)
    except Exception:  # it may be corrupt in any way, and was refused already
        return ''
    found = (b'.'.join(pair).decode() for names in NAMES for pair in names.findall(content))
    return next((f'it asks for {name}' for name in found if not HARMLESS.match(name)), '')
