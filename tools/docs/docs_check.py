"""Check every command and every piece of Python in README and docs/: `make docs-check`.

    python tools/docs/docs_check.py [--read-only] [PAGE ...]

Each command is run, run shortened, or at least read: by the tool that it calls, with its config loaded. One that nobody
knows fails. With `--read-only` none is run, which takes a minute. Python is run, with small models in place of the
reader's; configs are loaded, and their models built.

run          as it stands, with small images and untrained models in the places of the reader's
shortened    one epoch of eight images, ten scenes, three neighbors
parsed       its tool takes the options, its config has the settings; run by the tests, or too long
GPUs, Slurm  its launcher is run, with stand-ins for srun and Python, and what it starts is parsed
installs     pip, with the extras that setup.py has
outside      a program of others
"""

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import mixmae_mm
from mixmae_mm.utils import compat

compat.apply()  # before torch and the libraries that it fixes

from command_finding import Command, commands_of, pages
from command_reading import ReadError, read
from command_running import Scratch
from python_running import run_page
from rich.console import Console
from rich.table import Table


def check_commands(found: list[Command], scratch: Scratch | None) -> Iterator[tuple[Command, str, str]]:
    """Return the class of each command, and what is wrong with it; each text is looked at once."""
    known: dict[str, tuple[str, str]] = {}
    for command in found:
        key = f'{command.inline} {command.text}'
        if key not in known:
            try:
                known[key] = (scratch and scratch.check(command)) or read(command), ''
            except (ReadError, OSError, ValueError, KeyError, SyntaxError) as error:
                known[key] = 'FAILS', str(error)
        yield command, *known[key]


def report(rows: list[tuple[Command, str, str]]) -> int:
    """Print the table, and what is wrong; count that."""
    table = Table('where', 'class', 'command')
    for command, kind, _ in rows:
        table.add_row(f'{command.page}:{command.line}', kind, command.text)
    console = Console(width=150)
    console.print(table, highlight=False, markup=False)
    wrong = [(command, why) for command, _, why in rows if why]
    for command, why in wrong:
        console.print(f'{command.page}:{command.line}: {command.text}\n    {why}', highlight=False, markup=False)
    console.print(', '.join(f'{number} {kind}' for kind, number in Counter(kind for _, kind, _ in rows).most_common()))
    return len(wrong)


def main(arguments: list[str] | None = None) -> int:
    """Check, print, and tell by the exit status whether all is well."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('pages', nargs='*', help='names such as weights.md (all)')
    parser.add_argument('--read-only', action='store_true', help='run nothing')
    args = parser.parse_args(arguments)
    chosen = [page for page in pages() if not args.pages or page.name in args.pages]
    found = [command for page in chosen for command in commands_of(page)]
    with tempfile.TemporaryDirectory() as folder:
        rows = list(check_commands(found, None if args.read_only else Scratch(Path(folder))))
    wrong = report(rows)
    for why in (problem for page in chosen for problem in run_page(page)):
        print(why)
        wrong += 1
    print(f'{len(found)} commands of {len(chosen)} pages, {wrong} wrong (mixmae_mm {mixmae_mm.__version__})')
    return int(wrong > 0)


if __name__ == '__main__':
    sys.exit(main())
