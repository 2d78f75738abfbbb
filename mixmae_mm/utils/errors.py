"""Errors of the tools, shown as one message instead of a traceback."""

import logging
import os
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmengine.logging import MMLogger

from mixmae_mm.utils.config_keys import nearest, parameters
from mixmae_mm.utils.console import Console
from mixmae_mm.utils.names import print_any_name
from mixmae_mm.utils.safe_io.weights_file import read_file

# Raised by our code and downstream libraries for invalid settings, files and data; all else keeps its traceback.
EXPECTED = (ValueError, OSError, KeyError, TypeError, AssertionError, ImportError, SyntaxError, FloatingPointError)
PLAIN = (ValueError, OSError, ImportError, SyntaxError, FloatingPointError)
INTERRUPTED = 130


def check_checkpoint(path: str) -> None:
    """Check that a checkpoint can be read without running code, before minutes are spent on building data and model.

    URLs (`https://...`) are checked when they are read.
    """
    if '://' in path:
        return
    if not Path(path).is_file():
        raise ValueError(f'there is no checkpoint {path}; checkpoints of a run are the .pth files in its work_dir')
    read_file(path)


def describe(error: BaseException) -> str:
    """Describe an error in one paragraph; for a loader worker's error, what happened in the worker."""
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    name = type(error).__name__
    if f'Caught {name} in ' in text:
        text = re.split(rf'^(?:\w+\.)*{name}: ', text, flags=re.MULTILINE)[-1].strip()
    if isinstance(error, PLAIN):
        return text
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f'{name}: {text}{_suggestion(error, text)} (raised in {frame.filename}, line {frame.lineno})'


def _suggestion(error: BaseException, text: str) -> str:
    """Suggest the setting nearest to an unknown one, or else list all settings that the class takes."""
    unknown = re.search(r"unexpected keyword argument '(\w+)'", text)
    frames = traceback.walk_tb(error.__traceback__)
    makers = [frame.f_locals['obj_cls'] for frame, _ in frames if callable(frame.f_locals.get('obj_cls'))]
    if not unknown or not makers:
        return ''
    taken = parameters(makers[-1])
    near = nearest(unknown[1], taken)
    return f' Did you mean {near}?' if near else f' It takes {", ".join(sorted(taken))}.'


@contextmanager
def readable_errors(debug: bool, after_interrupt: str = '') -> Iterator[None]:
    """End the process with one message for errors that a user can fix; the traceback goes to the log file.

    With `debug`, every exception is raised as it is. The exit status is 1, or 130 after Ctrl-C, which prints
    `after_interrupt`.
    """
    print_any_name()
    rank = f'[rank {os.environ["RANK"]}] ' if int(os.environ.get('WORLD_SIZE', 1)) > 1 else ''
    try:
        yield
    except KeyboardInterrupt:
        print(f'{rank}interrupted. {after_interrupt}', file=sys.stderr)
        sys.exit(INTERRUPTED)
    except Exception as error:
        if Console.current:
            Console.current.release()
        if debug or not isinstance(error, EXPECTED) or not str(error):
            raise
        logger = MMLogger.get_current_instance()
        files = [handler for handler in logger.handlers if isinstance(handler, logging.FileHandler)]
        for handler in files:
            text = ''.join(traceback.format_exception(error))
            handler.handle(logger.makeRecord(logger.name, logging.ERROR, __file__, 0, text, (), None))
        where = files[0].baseFilename if files else 'the same command with --debug'
        raise SystemExit(f'{rank}error: {describe(error)}\n(traceback: {where})') from None
