"""Paths as users type them, and as they can be printed, whatever bytes a name holds."""

import os
import sys


def expand(path: str | os.PathLike) -> str:
    """Return a path with a leading `~` expanded, unless a file or folder of that literal name exists."""
    path = os.fspath(path)
    return path if os.path.lexists(path) else os.path.expanduser(path)


def printable(text: str) -> str:
    r"""Return a path as one line of valid Unicode: a line break becomes `\n`, a byte that is not UTF-8 `\xff`."""
    return text if text.isprintable() else ''.join(map(_spelled_out, text))


def _spelled_out(character: str) -> str:
    """Return a character, or its escape if it cannot be printed."""
    if character.isprintable():
        return character
    if '\udc80' <= character <= '\udcff':  # how os.fsdecode represents a byte
        return f'\\x{ord(character) - 0xDC00:02x}'
    return character.encode('unicode_escape').decode()


def print_any_name() -> None:
    """Make streams escape what they cannot print, such as accents in ASCII or invalid bytes, instead of raising."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, 'reconfigure'):
            stream.reconfigure(errors='backslashreplace')
