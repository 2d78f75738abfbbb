"""Find the commands on pages, and check each without running it: its tool takes the options, its config loads.

Each tool parses its own command line: it is loaded, and stopped once its parser is done. Launchers are run, with
stand-ins for srun and Python.
"""

import argparse
import io
import os
import re
import runpy
import shlex
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import NamedTuple
from unittest import mock

from mixmae_mm import __main__ as mixmae
from mixmae_mm.utils.config_keys import check_names
from mixmae_mm.utils.launching import load_config

ROOT = Path(__file__).resolve().parents[2]
MICRO = 'configs/mixmae/mixmae_mixmim-swin-micro_1xb64-coslr-40e_materials-64px.py'
CLASSIFIER = 'configs/classification/mixmim-swin-micro-scratch_1xb64-coslr-10e_materials-64px.py'
MIXEDAE = 'configs/mixedae/mixedae_vit-micro-p8_1xb64-coslr-40e_materials-64px.py'
CONFIGS = {'tools/test.py': CLASSIFIER, 'docs/figures/how_it_works.py': MIXEDAE}
"""What CONFIG stands for in tools that need another config than the micro MixMAE."""
PROGRAMS = ('python', 'python3', 'make', 'mixmae', 'pip')
"""First words of our commands; they can also begin with the path of a script."""
SCRIPT = re.compile(r'(?:\.?\.?/)?[\w./-]+\.sh$|(?:\.venv/bin|\.ci)/\w+$')
SETTING = re.compile(r'[A-Z_]+=\S+$')


class Command(NamedTuple):
    """A command on a page, joined to one line."""

    page: str
    text: str
    inline: bool = False
    """Whether it stands in a sentence, where arguments may be left out."""


class ReadError(Exception):
    """A command that cannot work as it stands."""


class ParsedError(Exception):
    """Raised to end a tool once its command line is parsed."""


def pages() -> list[Path]:
    """List the pages that are checked."""
    tops = [ROOT / name for name in ('README.md', 'CONTRIBUTING.md', 'CHANGELOG.md')]
    return [*tops, *sorted((ROOT / 'docs').rglob('*.md'))]


def commands_of(page: Path) -> list[Command]:
    """List the commands of a page: in fenced and indented blocks, and inline."""
    text = re.sub(r'\\\n\s*', '', page.read_text())
    blocks = re.findall(r'^ *```(\w*)\n(.*?)^ *```', text, re.MULTILINE | re.DOTALL)
    prose = re.sub(r'^ *```.*?^ *```', '', text, flags=re.MULTILINE | re.DOTALL)
    lines = [line for language, block in blocks if language in ('', 'bash', 'sh') for line in block.splitlines()]
    lines += re.findall(r'^ {4}(.+)', prose, re.MULTILINE)
    texts = [(' '.join(re.sub(r'\s+# .*|^\$ ', '', line).split()), False) for line in lines]
    texts += [(' '.join(quoted.split()), True) for quoted in re.findall(r'(?<!`)`([^`]+)`(?!`)', prose)]
    found = [Command(page.name, *each) for each in texts if is_command(each[0]) and (' ' in each[0] or not each[1])]
    return list(dict.fromkeys(found))


def is_command(text: str) -> bool:
    """Return whether a text is a command, judging by its first word that does not set a variable."""
    words = [word for word in text.split() if not SETTING.match(word)]
    return bool(words) and (words[0] in PROGRAMS or SCRIPT.match(words[0]) is not None)


def python_of(page: Path) -> list[tuple[int, str]]:
    """List the Python blocks of a page, with the numbers of their first lines."""
    text = page.read_text()
    found = re.finditer(r'^```python\n(.*?)^```', text, re.MULTILINE | re.DOTALL)
    return [(text.count('\n', 0, block.start()) + 2, block[1]) for block in found]


def words_of(command: Command) -> list[str]:
    """Split a command into words: keep what is in brackets, drop variables set before it, expand {a,b}."""
    words: list[str] = []
    for word in shlex.split(re.sub(r'\[(-[^]]*|[A-Z]+)\]', r'\1', command.text)):
        choices = re.search(r'\{([^{}]+,[^{}]+)\}', word)
        if choices:
            words += [word.replace(choices[0], one) for one in choices[1].split(',')]
        elif word != '...' and (words or not SETTING.match(word)):
            words.append(word)
    return words


def read(command: Command) -> str:
    """Check a command; return its class: 'parsed', 'launched', or 'outside' for a program that is not ours.

    Raise `ReadError` if it cannot work, or is unknown.
    """
    program, *words = words_of(command)
    program = re.sub(r'^(?:\./)?(?:\.venv/bin/)?', '', program)
    if re.fullmatch(r'python[\d.]*', program):
        return read_python(words, command.inline)
    if program == 'mixmae':
        return read_ours(words, command.inline)
    if program == 'make':
        return 'parsed' if command.inline and '...' in command.text else read_make(words)
    if program == 'pip':
        return 'outside'
    if re.fullmatch(r'tools/(dist|slurm)_(train|test)\.sh', program):
        tool, started = launched(program, ['2' if word == 'GPUS' else word for word in words])
        parse(tool, started, command.inline)
        return 'launched'
    if not (ROOT / program).is_file():
        raise ReadError(f'there is no {program}')
    return 'parsed'


def read_python(words: list[str], inline: bool) -> str:
    """Check what follows `python`."""
    if not words or words[0] == '-c' or (words[0] == '-m' and not words[1].startswith('mixmae_mm')):
        return 'outside'
    if words[0] != '-m':
        return parse(words[0], words[1:], inline)
    if words[1] != 'mixmae_mm' and not (ROOT / f'{words[1].replace(".", "/")}.py').is_file():
        raise ReadError(f'there is no module {words[1]}')
    return read_ours(words[2:], inline) if words[1] == 'mixmae_mm' else 'parsed'


def read_ours(words: list[str], inline: bool) -> str:
    """Check what follows `mixmae`."""
    try:
        found = mixmae.find(words)
    except mixmae.UsageError as error:
        raise ReadError(str(error)) from error
    has_tool = isinstance(found, mixmae.Program) and found.path
    return parse(f'tools/{found.path}', found.words, inline) if has_tool else 'parsed'


def read_make(words: list[str]) -> str:
    """Check the commands that make would run."""
    # if make runs this tool, its own variables must not reach the inner make
    env = {name: value for name, value in os.environ.items() if name not in ('MAKEFLAGS', 'MAKEOVERRIDES', 'ARGS')}
    done = subprocess.run(['make', '-n', *words], cwd=ROOT, capture_output=True, text=True, env=env)
    if done.returncode or 'Nothing to be done' in done.stdout:  # a folder of that name
        raise ReadError(done.stderr.strip() or f"No rule to make target '{words[0]}'")
    for line in re.findall(r'^\.venv/bin/(python (?:tools|-m mixmae_mm).*)$', done.stdout, re.MULTILINE):
        read(Command('Makefile', line))
    return 'parsed'


def launched(script: str, words: list[str]) -> tuple[str, list[str]]:
    """Run a launcher with stand-ins for srun and Python; return the tool that it starts, and its arguments."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ('srun', 'python'):
            Path(folder, name).write_text('#!/bin/sh\nprintf "%s\\0" "$@"\n')
            Path(folder, name).chmod(0o755)
        env = dict(os.environ, PATH=os.pathsep.join([folder, os.environ['PATH']]), PYTHON='python')
        done = subprocess.run(['bash', ROOT / script, *words], env=env, capture_output=True, text=True)
    if done.returncode:
        raise ReadError(done.stderr.strip() or f'{script} ended with {done.returncode}')
    started = done.stdout.split('\0')[:-1]
    place = next(number for number, word in enumerate(started) if word.endswith(('/train.py', '/test.py')))
    return os.path.relpath(started[place], ROOT), started[place + 1 :]


@cache
def load(tool: str) -> dict:
    """Load a tool, once."""
    return runpy.run_path(str(ROOT / tool), run_name='tool')


def parse(tool: str, words: list[str], inline: bool) -> str:
    """Let a tool parse a command line, stop it there, and check the config that the command names."""
    if not (ROOT / tool).is_file():
        raise ReadError(f'there is no {tool}')
    plain, found = argparse.ArgumentParser.parse_args, []

    def stop(parser: argparse.ArgumentParser, *given: object) -> None:
        found.append(plain(parser, *given))
        raise ParsedError

    argv = [tool, *(CONFIGS.get(tool, MICRO) if word in ('CONFIG', 'CONFIG.py') else word for word in words)]
    path, printed = [str((ROOT / tool).parent), *sys.path], io.StringIO()
    try:
        with (
            mock.patch.multiple(sys, argv=argv, path=path, stdout=printed, stderr=printed),
            mock.patch.object(argparse.ArgumentParser, 'parse_args', stop),
        ):
            load(tool)['main']()
        raise ReadError(f'{tool} does not read a command line')
    except ParsedError:
        check_config(found[0])
    except SystemExit as end:
        last = (printed.getvalue().strip().splitlines() or [f'{tool} ended with {end.code}'])[-1]
        if end.code and not (inline and 'arguments are required' in last):
            raise ReadError(last) from end
    return 'parsed'


def check_config(args: argparse.Namespace) -> None:
    """Check that the config of a command loads, and that the settings that it overrides exist."""
    config = getattr(args, 'config', None)
    if config is None or Path(config).name == 'mine.py':
        return
    try:
        warnings = check_names(load_config(ROOT / config, getattr(args, 'cfg_options', None)))
    except ValueError as error:
        raise ReadError(str(error)) from error
    if warnings:
        raise ReadError('; '.join(warnings))
