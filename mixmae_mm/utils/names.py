"""Paths as users type them, and as they can be printed, whatever bytes a name holds."""

import functools
import os
import sys
from types import ModuleType


def expand(path: str | os.PathLike) -> str:
    """Return a path with a leading `~` resolved, unless a file or folder of the name as it stands is there."""
    path = os.fspath(path)
    return path if os.path.lexists(path) else os.path.expanduser(path)


def printable(text: str) -> str:
    r"""Return a path as one line of valid Unicode, for logs, terminals and pages.

    What cannot be printed is spelled out: a line break as `\n`, a byte that is not UTF-8 as `\xff`.
    """
    return text if text.isprintable() else ''.join(map(_spelled_out, text))


def print_any_name() -> None:
    """Escape what a terminal cannot print, such as accents in ASCII or bytes that are not text, instead of raising."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, 'reconfigure'):
            stream.reconfigure(errors='backslashreplace')


def draw_any_name(module: ModuleType) -> None:
    """Have `mmengine.visualization.visualizer` draw any name: matplotlib refuses bytes that are not text, and takes
    what stands between two dollar signs for a formula.
    """
    prepare = module.Visualizer._initialize_fig

    @functools.wraps(prepare)
    def prepare_for_any_name(self: object, settings: dict) -> tuple:
        """Prepare a figure on which mmengine and mmpretrain write."""
        *others, axes = prepare(self, settings)
        write = axes.text
        axes.text = lambda x, y, text, *args, **more: write(x, y, _drawable(text), *args, **more)
        return (*others, axes)

    module.Visualizer._initialize_fig = prepare_for_any_name


def _drawable(text: str) -> str:
    """Return a text of lines that matplotlib draws as they are."""
    return '\n'.join(map(printable, text.split('\n'))).replace('$', r'\$')


def _spelled_out(character: str) -> str:
    """Return a character, or its escape if it cannot be printed."""
    if character.isprintable():
        return character
    if '\udc80' <= character <= '\udcff':  # how os.fsdecode stands for a byte
        return f'\\x{ord(character) - 0xDC00:02x}'
    return character.encode('unicode_escape').decode()
