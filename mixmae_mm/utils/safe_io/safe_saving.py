"""Make mmengine write local checkpoints atomically, with a checksum, and without buffering them in memory."""

import sys
from typing import BinaryIO

import mmengine.runner.checkpoint
import torch
from mmengine.fileio import LocalBackend, get_file_backend

from mixmae_mm.utils.safe_io.checksum import checked_write

SAVE_OF_MMENGINE = mmengine.runner.checkpoint.save_checkpoint


def guard() -> None:
    """Replace mmengine's writer by ours."""
    for module in (mmengine.runner, mmengine.runner.runner, mmengine.runner.checkpoint):
        module.save_checkpoint = save_checkpoint


def save_checkpoint(
    checkpoint: dict, filename: str, file_client_args: dict | None = None, backend_args: dict | None = None
) -> None:
    """Write a checkpoint: to a local file directly, elsewhere as mmengine does."""
    is_here = not file_client_args and '://' not in filename
    if is_here and type(get_file_backend(filename, backend_args=backend_args)) is LocalBackend:
        with checked_write(filename) as file:
            write_archive(checkpoint, file)
    else:
        SAVE_OF_MMENGINE(checkpoint, filename, file_client_args, backend_args)


def write_archive(content: object, file: BinaryIO) -> None:
    """Call `torch.save`; raise the OSError or Ctrl-C that stopped it, which it hides behind a RuntimeError."""
    before = sys.exception()
    try:
        torch.save(content, file)
    except RuntimeError as error:
        reason = error.__context__
        if reason is not before and isinstance(reason, OSError | KeyboardInterrupt):
            raise reason from None
        raise
