"""The names that the pickles in a file ask for, found without loading them, to explain why a file was refused."""

import io
import pickletools
import re
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from typing import BinaryIO

LARGEST, LONGEST = 1 << 24, 1_000_000
"""Bytes of a file, and operations of a pickle, that are looked at."""
HARMLESS = re.compile(r'torch\.|collections\.|numpy\.|argparse\.Namespace$|mmengine\.logging\.|_codecs\.encode$')
NAME = re.compile(r'\w+(\.\w+)+')
START = re.compile(rb'\x80[\x02-\x05]')


def describe_demands(file: str | Path | BinaryIO) -> str:
    """Describe what would run if a file was unpickled; '' where nothing is found."""
    try:
        with open(file, 'rb') if isinstance(file, str | Path) else nullcontext(file) as stream:
            return _describe(stream)
    except Exception:  # it may be corrupt in any way, and was refused already
        return ''


def _describe(file: BinaryIO) -> str:
    """Describe what would run."""
    found = dict.fromkeys(name for content in _parts(file) for name in _names(content))
    names = [name for name in found if NAME.fullmatch(name) and not HARMLESS.match(name)]
    if names:
        return f'it asks for {", ".join(names[:3])}'
    if zipfile.is_zipfile(file):  # TorchScript and torch.package
        with zipfile.ZipFile(file) as archive:
            programs = [name for name in archive.namelist() if name.endswith('.py')]
        return f'it holds programs, {", ".join(programs[:3])}' if programs else ''
    return ''


def _parts(file: BinaryIO) -> Iterator[bytes]:
    """Yield what may be a pickle: the entries of an archive, or the file."""
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            for name in archive.namelist():
                if name.endswith(('.pkl', '.npy')):
                    with archive.open(name) as entry:
                        yield entry.read(LARGEST)
        return
    file.seek(0)
    if tarfile.is_tarfile(file):
        file.seek(0)
        with tarfile.open(fileobj=file) as archive:
            for member in archive:
                if member.isfile():
                    yield archive.extractfile(member).read(LARGEST)
        return
    file.seek(0)
    yield file.read(LARGEST)


def _names(content: bytes) -> Iterator[str]:
    """Yield what the pickles in a file ask for, which may stand one after the other, and behind something else."""
    start = START.search(content)
    for begin in {0, start.start() if start else 0}:
        stream, ended = io.BytesIO(content), False
        stream.seek(begin)
        while not ended:
            ended = yield from _names_of_one(stream)


def _names_of_one(stream: io.BytesIO) -> Iterator[str]:
    """Yield what one pickle asks for; return whether no other can follow."""
    texts, memo = ['', ''], []
    try:
        for code, argument, _ in islice(pickletools.genops(stream), LONGEST):
            if code.name in ('GLOBAL', 'INST'):
                yield argument.replace(' ', '.')
            elif code.name == 'STACK_GLOBAL':
                yield '.'.join(texts[-2:])
            elif code.name == 'MEMOIZE':
                memo.append(texts[-1])  # of a text just named; what else is kept is never a name
            elif code.name in ('BINGET', 'LONG_BINGET'):
                texts.append(memo[argument] if argument < len(memo) else '')
            elif isinstance(argument, str):
                texts.append(argument)
    except (ValueError, MemoryError, OverflowError):
        return True
    return code.name != 'STOP'
