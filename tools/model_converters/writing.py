"""What the converters share of writing: a name checked before the work, and a file put there only when it is whole."""

import argparse
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

SUFFIXES = ('.pth', '.safetensors')


def add_options(parser: argparse.ArgumentParser) -> None:
    """Let the command line say whether a file may be overwritten, and errors shown whole."""
    parser.add_argument('--force', action='store_true', help='overwrite OUT')
    parser.add_argument('--debug', action='store_true', help='show errors with their whole traceback')


def check_out(out: Path, force: bool) -> None:
    """Check that the file can be written, before anything is.

    Raises:
        ValueError: it is there already, or ends otherwise.
    """
    if out.suffix not in SUFFIXES:
        raise ValueError(f'{out} should end in {" or ".join(SUFFIXES)}')
    if out.suffix == '.safetensors':
        _safetensors()
    check_free(out, force)


def check_free(out: Path, force: bool) -> None:
    """Check that no file would be lost.

    Raises:
        ValueError: it is there already.
    """
    if out.exists() and not force:
        raise ValueError(f'{out} is there already: give another name, or --force to overwrite it')


def save(weights: Mapping[str, Tensor], out: Path, container: str, **others: object) -> None:
    """Write weights as the file's extension asks for.

    Args:
        weights: The weights.
        out: The file: a .pth has them under `container`, with `others` beside; a .safetensors bare, without others.
        container: Where they stand.
        others: What stands beside them.
    """
    weights = copied(weights)
    with scratch(out) as file:
        if out.suffix == '.safetensors':
            _safetensors().save_file(weights, file, metadata=dict(format='pt'))
        else:
            write_pth({container: weights, **others}, file)
        file.replace(out)


def copied(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copy weights: a row of a large tensor would otherwise keep all of it in a file."""
    return {name: x.detach().clone(memory_format=torch.contiguous_format) for name, x in weights.items()}


@contextmanager
def scratch(out: Path) -> Iterator[Path]:
    """Return a name beside `out` to write to and rename: what is not whole is never seen under its name.

    The file that is read may so be the one that is overwritten.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    file = out.with_name(f'.{out.name}.{os.getpid()}')
    try:
        yield file
    finally:
        file.unlink(missing_ok=True)


def write_pth(content: Mapping[str, object], file: Path) -> None:
    """Write PyTorch's format; equal contents give equal bytes, since the file's name does not get in."""
    with file.open('wb') as stream:
        torch.save(dict(content), stream)


def megabytes(size: int) -> str:
    """Write a number of bytes."""
    return f'{size / 1e6:.1f} MB'


def _safetensors() -> object:
    """Import what only files of that kind need.

    Raises:
        ValueError: it is not installed.
    """
    try:
        import safetensors.torch
    except ImportError as error:
        raise ValueError('.safetensors needs `pip install safetensors`; .pth does without') from error
    return safetensors.torch
