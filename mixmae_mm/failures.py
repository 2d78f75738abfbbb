"""What goes wrong before and while a tool runs, said in one message instead of a traceback."""

import logging
import os
import re
import sys
import traceback
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from mmengine.logging import MMLogger

from mixmae_mm.names import print_any_name
from mixmae_mm.weights_file import UNREADABLE

# What our code and the hosts raise for settings, files and data that cannot work; anything else keeps its traceback.
EXPECTED = (ValueError, OSError, KeyError, TypeError, AssertionError, ImportError, SyntaxError, FloatingPointError)
PLAIN = (ValueError, OSError, ImportError, SyntaxError, FloatingPointError)
INTERRUPTED = 130


def check_checkpoint(path: str, in_folder: bool = False) -> None:
    """See that a checkpoint can be read, before minutes go into building data and model.

    Addresses (`https://...`) are left to mmengine. With `in_folder` it must be a folder, as DeepSpeed writes them.

    Raises:
        ValueError: there is no such file, or it is no checkpoint.
    """
    if '://' in path:
        return
    if in_folder and not any(Path(path).glob('*_model_states.pt')):
        raise ValueError(
            f'{path} is no checkpoint of DeepSpeed, which is a folder with files *_model_states.pt: name one, or leave '
            'the strategy out of the config'
        )
    if Path(path).is_dir():
        if not in_folder:
            raise ValueError(
                f"{path} is a folder: DeepSpeed's checkpoints go on with its strategy only. zero_to_fp32.py beside it "
                'makes a file of its weights'
            )
        return
    if not Path(path).is_file():
        raise ValueError(f'there is no checkpoint {path}; checkpoints of a run are the .pth files in its work folder')
    try:
        if not zipfile.is_zipfile(path):  # which raises for archives on several disks
            torch.load(path, map_location='cpu', weights_only=True)
    except UNREADABLE as error:
        raise ValueError(
            f'{path} ({Path(path).stat().st_size} bytes) cannot be read as a PyTorch checkpoint: it is something else, '
            'or was cut off while it was written or copied; name another one'
        ) from error


def describe(error: BaseException) -> str:
    """Say in one paragraph what happened; for a loader worker's error, what happened in the worker."""
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    name = type(error).__name__
    if f'Caught {name} in ' in text:
        text = re.split(rf'^(?:\w+\.)*{name}: ', text, flags=re.MULTILINE)[-1].strip()
    if isinstance(error, PLAIN):
        return text
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f'{name}: {text} (raised in {frame.filename}, line {frame.lineno})'


def _keep_traceback(error: BaseException) -> str | None:
    """Write the traceback into the run's log file; the file's name, or None where no log has been opened."""
    logger = MMLogger.get_current_instance()
    files = [handler for handler in logger.handlers if isinstance(handler, logging.FileHandler)]
    for handler in files:
        lines = traceback.format_exception(error)
        handler.handle(logger.makeRecord(logger.name, logging.ERROR, __file__, 0, ''.join(lines), (), None))
    return files[0].baseFilename if files else None


@contextmanager
def readable_errors(debug: bool, after_interrupt: str = '') -> Iterator[None]:
    """End the process with one message for what a user can mend, and with the traceback kept in the log file.

    With `debug` every exception goes on as it is. The exit status is 1, or 130 after Ctrl-C, which is answered with
    `after_interrupt`.
    """
    print_any_name()
    rank = f'[rank {os.environ["RANK"]}] ' if int(os.environ.get('WORLD_SIZE', 1)) > 1 else ''
    try:
        yield
    except KeyboardInterrupt:
        print(f'{rank}interrupted. {after_interrupt}', file=sys.stderr)
        sys.exit(INTERRUPTED)
    except EXPECTED as error:
        if debug or not str(error):
            raise
        log = _keep_traceback(error)
        where = f'traceback: {log}' if log else 'traceback: the same command with --debug'
        raise SystemExit(f'{rank}error: {describe(error)}\n({where})') from None
