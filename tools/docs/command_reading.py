"""Read a command without running it: the tool is there, it takes these options, the config loads and has the settings.

Tools read their own command lines: each is loaded, and stopped once its parser is done.
"""

import argparse
import contextlib
import io
import os
import re
import runpy
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from unittest import mock

from command_finding import OUTSIDE, ROOT, SETTING, Command
from mmengine.config import Config
from torch.distributed.run import config_from_args, get_args_parser

from mixmae_mm import __main__ as mixmae

MICRO = 'configs/mixmae/mixmae_mixmim-swin-micro_1xb64-coslr-40e_shapes-64px.py'
CLASSIFIER = 'configs/classification/mixmim-swin-micro-scratch_1xb64-coslr-10e_shapes-64px.py'
MIXEDAE = 'configs/mixedae/mixedae_vit-micro-p8_1xb64-coslr-40e_shapes-64px.py'
CONFIGS = {'tools/test.py': CLASSIFIER, 'tools/model_converters/export_vit.py': MIXEDAE,
           'docs/figures/how_it_works.py': MIXEDAE}  # fmt: skip
"""What CONFIG stands for where the micro MixMAE would not do."""


class ReadError(Exception):
    """A command that cannot work as it stands."""


class ParsedError(Exception):
    """What ends a tool once its command line is read."""


def words_of(command: Command) -> list[str]:
    """Split a command; what is in brackets is taken, variables set before it are not."""
    text = re.sub(r'\[(-[^]]*)\]|\[([A-Z]+)\]', lambda found: found[1] or found[2], command.text)
    words = [word for part in shlex.split(text) for word in expand(part) if word != '...']
    while words and SETTING.match(words[0]):
        words.pop(0)
    return words


def expand(word: str) -> list[str]:
    """Expand the first `{a,b}` of a word as a shell does."""
    found = re.search(r'\{([^{}]+,[^{}]+)\}', word)
    return [word.replace(found[0], one) for one in found[1].split(',')] if found else [word]


def read(command: Command) -> str:
    """Read a command; give its class: 'parsed', 'GPUs', 'Slurm', 'installs' or 'outside'.

    Raises:
        ReadError: it cannot work, or nobody knows what it is.
    """
    program, *rest = words_of(command)
    program = re.sub(r'^(?:\./)?\.venv/bin/', '', program).removeprefix('./')
    if re.fullmatch(r'python[\d.]*', program):
        return read_python(rest, command.inline)
    if program == 'mixmae':
        return read_ours(rest, command.inline)
    if program == 'make':
        return read_make(rest, command.inline)
    if program == 'pip':
        return read_pip(rest)
    started = re.fullmatch(r'tools/(dist|slurm)_(train|test)\.sh', program)
    if started:
        return read_launcher(started[1], started[2], rest, command.inline)
    if program in OUTSIDE:
        return 'outside'
    if (ROOT / program).is_file():
        return 'parsed'
    raise ReadError(f'{program} is no tool of ours and no program that the check knows: name it in command_finding.py')


def read_python(words: list[str], inline: bool) -> str:
    """Read what follows `python`."""
    if not words:
        return 'outside'
    if words[0] == '-m':
        return read_module(words[1:])
    if words[0] == '-c':
        compile(words[1], '<command>', 'exec')
        return 'parsed'
    if not (ROOT / words[0]).is_file():
        raise ReadError(f'there is no {words[0]}')
    check_config(parse(words[0], words[1:], inline))
    return 'parsed'


def read_ours(words: list[str], inline: bool) -> str:
    """Read what follows `mixmae`."""
    try:
        found = mixmae.find(words)
    except mixmae.UsageError as error:
        raise ReadError(str(error)) from error
    if isinstance(found, mixmae.Program) and found.path:
        check_config(parse(f'tools/{found.path}', found.words, inline))
    return 'parsed'


def read_module(words: list[str]) -> str:
    """Read what follows `python -m`."""
    if words[0] == 'pip':
        return read_pip(words[1:])
    ours = ROOT / (words[0].replace('.', '/') + '.py')
    if words[0] == 'mixmae_mm':
        return read_ours(words[1:], inline=False)
    if words[0].startswith('mixmae_mm') and not (ours.is_file() or (ours.with_suffix('') / '__main__.py').is_file()):
        raise ReadError(f'there is no module {words[0]}')
    return 'parsed' if words[0].startswith('mixmae_mm') else 'outside'


def read_pip(words: list[str]) -> str:
    """Check that the extras of ours that pip is to install are there."""
    groups = re.search(r'^groups = \((.*)\)', (ROOT / 'setup.py').read_text(), re.MULTILINE)[1]
    for extras in re.findall(r'(?:\.|mixmae_mm)\[([\w,-]+)\]', ' '.join(words)):
        lost = {*extras.split(',')} - {'torch', *re.findall(r"'(\w+)'", groups)}
        if lost:
            raise ReadError(f'setup.py has no extras {sorted(lost)}')
    return 'installs'


def read_make(words: list[str], inline: bool) -> str:
    """Have make say what it would do, and read that."""
    if inline and any('...' in word for word in words):
        return 'parsed'
    # a make that runs this hands its own variables on
    env = {name: value for name, value in os.environ.items() if name not in ('MAKEFLAGS', 'MAKEOVERRIDES', 'ARGS')}
    done = subprocess.run(['make', '-n', *words], cwd=ROOT, capture_output=True, text=True, env=env)
    if done.returncode:
        raise ReadError(done.stderr.strip())
    if 'Nothing to be done' in done.stdout:  # a folder of that name
        raise ReadError(f"No rule to make target '{words[0]}'")
    for line in re.findall(r'^\.venv/bin/(python (?:tools|-m mixmae_mm).*)$', done.stdout, re.MULTILINE):
        read(Command('Makefile', 0, line))
    return 'parsed'


def read_launcher(kind: str, tool: str, words: list[str], inline: bool) -> str:
    """Read the command line of a launcher as that of the tool that it starts."""
    words = ['2' if word == 'GPUS' else word for word in words]
    started = launched(f'tools/{kind}_{tool}.sh', words)
    check_config(parse(f'tools/{tool}.py', started, inline))
    return {'dist': 'GPUs', 'slurm': 'Slurm'}[kind]


def launched(script: str, words: list[str]) -> list[str]:
    """Run a launcher with stand-ins for srun and Python; return the arguments that its tool is started with.

    Raises:
        ReadError: the launcher does not take these words, or a launcher of processes does not.
    """
    with tempfile.TemporaryDirectory() as folder:
        for name in ('srun', 'python'):
            Path(folder, name).write_text('#!/bin/sh\nprintf "%s\\0" "$@"\n')
            Path(folder, name).chmod(0o755)
        path = os.pathsep.join([folder, os.environ['PATH']])
        env = dict(os.environ, PATH=path, PYTHON='python')
        done = subprocess.run(['bash', ROOT / script, *words], env=env, capture_output=True, text=True)
    if done.returncode:
        raise ReadError(done.stderr.strip() or f'{script} ended with {done.returncode}')
    started = done.stdout.split('\0')[:-1]
    if '-m' in started:
        one_thread = mock.patch.dict(os.environ, OMP_NUM_THREADS='1')  # else torchrun sets it, with a warning
        with one_thread, contextlib.redirect_stderr(io.StringIO()) as said:
            try:
                config_from_args(get_args_parser().parse_args(started[started.index('-m') + 2 :]))
            except (SystemExit, ValueError) as end:
                raise ReadError(said.getvalue().strip() or str(end)) from end
    place = next(number for number, word in enumerate(started) if word.endswith(('/train.py', '/test.py')))
    return started[place + 1 :]


def parse(tool: str, words: list[str], inline: bool) -> argparse.Namespace | None:
    """Have a tool read a command line, and nothing more; None where a sentence left arguments out."""
    words = [placed(word, tool) for word in words]
    plain = argparse.ArgumentParser.parse_args
    found: list[argparse.Namespace] = []

    def stop(parser: argparse.ArgumentParser, *given: object) -> None:
        found.append(plain(parser, *given))
        raise ParsedError

    said = io.StringIO()
    try:
        with in_front(tool, words, stop), contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            load(tool)()
    except ParsedError:
        return found[0]
    except SystemExit as end:
        told = said.getvalue().strip().splitlines()
        if end.code == 0 or (inline and told and 'arguments are required' in told[-1]):
            return None
        raise ReadError(told[-1] if told else f'{tool} ended with {end.code}') from end
    raise ReadError(f'{tool} does not read a command line')


@cache
def load(tool: str) -> Callable[[], object]:
    """Load a tool, once: its `main`."""
    return runpy.run_path(str(ROOT / tool), run_name='tool')['main']


@cache
def config_of(file: str) -> Config:
    """Load a config, once."""
    return Config.fromfile(ROOT / file)


@contextlib.contextmanager
def in_front(tool: str, words: list[str], stop: Callable[..., None]) -> Iterator[None]:
    """Return a tool its command line, the modules beside it, and what ends it once that is read."""
    folder = str((ROOT / tool).parent)
    with contextlib.ExitStack() as stack:
        stack.enter_context(mock.patch.object(sys, 'argv', [tool, *words]))
        stack.enter_context(mock.patch.object(sys, 'path', [folder, *sys.path]))
        stack.enter_context(mock.patch.object(argparse.ArgumentParser, 'parse_args', stop))
        yield


def placed(word: str, tool: str) -> str:
    """Put a real config in the place of CONFIG."""
    return CONFIGS.get(tool, MICRO) if word in ('CONFIG', 'CONFIG.py') else word


def check_config(args: argparse.Namespace | None) -> None:
    """Check that the config of a command loads, and that it has what the command sets.

    Raises:
        ReadError: there is no such config, or it has no such setting.
    """
    config = getattr(args, 'config', None)
    if config is None or Path(config).name == 'mine.py':
        return
    if not (ROOT / config).is_file():
        raise ReadError(f'there is no config {config}')
    settings = config_of(config)
    for name in getattr(args, 'cfg_options', None) or {}:
        first, *rest = name.split('.')
        if first not in settings or (len(rest) > 1 and first == 'model' and rest[0] not in settings.model):
            raise ReadError(f'{config} has no {name}')
