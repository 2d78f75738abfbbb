#!/usr/bin/env python3
"""Compile C++ with `$FAST_CXX` (or `c++`), as C++20, without debug symbols, with torch's headers precompiled once.

Set `CXX` to this file while building an extension of PyTorch with GCC or Clang. Each source of mmcv's ops includes
`torch/types.h`, whose parsing is most of the time; the first call for a set of flags precompiles that header below
`$FAST_CXX_FOLDER`, and later calls read the result. The headers of torch 2.14 and later need C++20, but mmcv asks for
C++17. What does not compile in this way is compiled as usual; the compiler itself ignores a precompiled header that
does not fit its flags. Standard library only.
"""

import fcntl
import hashlib
import os
import shlex
import subprocess
import sys
from pathlib import Path

HEADER = '#include <torch/types.h>\n'
WITH_FILE = ('-o', '-MF', '-MT', '-MQ')  # options followed by a file that belongs to one source
ALONE = ('-c', '-MMD', '-MD', '-g')


def shared_flags(arguments: list[str], source: str) -> list[str]:
    """Return the flags that all sources share: without the source, its outputs and debug symbols."""
    flags, skip = [], False
    for argument in arguments:
        if not skip and argument not in (*WITH_FILE, *ALONE, source):
            flags.append(argument)
        skip = argument in WITH_FILE
    return flags


def precompile(compiler: list[str], flags: list[str], folder: Path) -> Path | None:
    """Return a header with its precompiled form beside it, made by the first caller; None if it does not compile."""
    header = folder / hashlib.sha256('\0'.join([*compiler, *flags]).encode()).hexdigest()[:16] / 'precompiled.h'
    header.parent.mkdir(parents=True, exist_ok=True)
    with (header.parent / 'lock').open('w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        result = header.parent / 'status'
        if not result.exists():
            header.write_text(HEADER)
            command = [*compiler, *flags, '-x', 'c++-header', str(header), '-o', f'{header}.gch']
            result.write_text(str(subprocess.run(command, capture_output=True).returncode))
        return header if result.read_text() == '0' else None


def main(arguments: list[str]) -> int:
    """Run the compiler; a single source is compiled as C++20 with the precompiled header, anything else as usual."""
    compiler, folder = shlex.split(os.environ.get('FAST_CXX', 'c++')), os.environ.get('FAST_CXX_FOLDER')
    sources = [argument for argument in arguments if argument.endswith(('.cpp', '.cc', '.cxx'))]
    tries = [arguments]
    if folder and '-c' in arguments and len(sources) == 1:
        fast = [*('-std=c++20' if argument == '-std=c++17' else argument for argument in arguments), '-g0']
        header = precompile(compiler, shared_flags(fast, sources[0]), Path(folder))
        tries = [*([[*fast, '-include', str(header)]] if header else []), fast, arguments]
    for flags in tries:
        code = subprocess.run([*compiler, *flags]).returncode
        if not code:
            break
    return code


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
