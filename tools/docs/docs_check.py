"""Check every command and every piece of Python in README and docs/: `make docs-check`.

    python tools/docs/docs_check.py [--read-only] [PAGE ...]

Each command is run, run shortened, or at least read: by the tool that it calls, with its config loaded. One that nobody
knows fails. With `--read-only` nothing is run, which takes a minute. Python is compiled and its imports are done; what
inherits a config of ours is loaded as a config.

run          as it stands, with small pictures and untrained models in the places of the reader's
shortened    one epoch of eight pictures, ten scenes, three neighbours
parsed       its tool takes the options, its config has the settings; run by the tests, or too long
GPUs, Slurm  parsed; it needs several GPUs, or Slurm
installs     pip, with the extras that setup.py has
outside      a program of others
"""

import argparse
import ast
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import mixmae_mm  # before the host packages: it mends what is known to break on import

# isort: split
from command_finding import ROOT, Command, commands_of, pages, python_of
from command_reading import ReadError, read
from command_running import Scratch
from mmengine.config import Config
from rich.console import Console
from rich.table import Table

INHERITED = '_base_ = '


def check_commands(found: list[Command], scratch: Scratch | None) -> Iterator[tuple[Command, str, str]]:
    """Give the class of each command, and what is wrong with it; each text is looked at once."""
    known: dict[str, tuple[str, str]] = {}
    for command in found:
        key = f'{command.inline} {command.text}'
        if key not in known:
            try:
                known[key] = (scratch and scratch.check(command)) or read(command), ''
            except (ReadError, OSError, ValueError, KeyError, SyntaxError) as error:
                known[key] = 'FAILS', str(error)
        yield command, *known[key]


def check_python(page: Path) -> Iterator[tuple[str, str]]:
    """Say where Python of a page does not compile, import what it imports, or load as a config."""
    for line, source in python_of(page):
        try:
            tree = ast.parse(source)
            if source.startswith(INHERITED):
                load_config(source)
            names: dict[str, object] = {}
            imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
            exec(compile(ast.Module(imports, []), page.name, 'exec'), names)
        except Exception as error:
            yield f'{page.name}:{line}', f'{type(error).__name__}: {error}'


def load_config(source: str) -> Config:
    """Load a config of a page as if it stood beside ours."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(ROOT / 'configs', Path(folder, 'configs'))
        path = Path(folder, 'configs/mixmae/of_a_page.py')
        path.write_text(source)
        return Config.fromfile(path)


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
    for where, why in (problem for page in chosen for problem in check_python(page)):
        print(f'{where}: {why}')
        wrong += 1
    print(f'{len(found)} commands of {len(chosen)} pages, {wrong} wrong (mixmae_mm {mixmae_mm.__version__})')
    return int(wrong > 0)


if __name__ == '__main__':
    sys.exit(main())
