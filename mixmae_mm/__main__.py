"""The command line `mixmae`, or `python -m mixmae_mm`: each command runs one of the tools, which wheels include.

The tools parse the arguments, so that `mixmae train CONFIG --resume` is `python tools/train.py CONFIG --resume`.
"""

import difflib
import importlib.util
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from mixmae_mm.version import __version__

DRAWER = 'visualization/visualize.py'
COMMANDS = {
    'pretrain': ('pretrain.py', 'pre-train an encoder on a folder of images'),
    'train': ('train.py', 'train what a config describes'),
    'test': ('test.py', 'test a checkpoint on the test set of a config'),
    'extract': ('analysis_tools/extract_features.py', 'write the features of images to a file'),
    'evaluate': ('analysis_tools/evaluate.py', 'evaluate an encoder without fine-tuning, on classes or on masks'),
    'reconstruct': (DRAWER, 'draw what a pre-trained model reconstructs'),
    'visualize': (DRAWER, 'draw attention, pca, similarity, neighbors or segmentation'),
    'convert': ('model_converters/convert_weights.py', 'convert a checkpoint to another layout or format'),
    'check-encoder': ('analysis_tools/check_encoder.py', 'check that an encoder keeps the sources of a mixture apart'),
    'check-data': ('dataset_tools/check_dataset.py', 'check a dataset before training'),
    'doctor': (None, 'check the environment'),
}
"""The tool of each command, below `tools/` (the doctor is a module), and its description."""


class UsageError(Exception):
    """A command line with an unknown command, or an installation without the tools."""


class Program(NamedTuple):
    """The program that a command line runs: its name, its tool (None for the doctor), and its arguments."""

    name: str
    path: str | None
    words: list[str]


def find(words: Sequence[str]) -> Program | str:
    """Find the program that a command line runs, or the text that it asks for."""
    command, *rest = words or ['--help']
    if command == '--version':
        return __version__
    if command in ('-h', '--help'):
        entries = [f'  {name:13} {text}' for name, (_, text) in COMMANDS.items()]
        return '\n'.join(['usage: mixmae COMMAND ...    (mixmae COMMAND --help lists its options)', '', *entries])
    if command not in COMMANDS:
        meant = ''.join(f' Did you mean {near}?' for near in difflib.get_close_matches(command, COMMANDS, 1))
        raise UsageError(f'there is no command {command}.{meant} Known: {", ".join(COMMANDS)}')
    if command == 'reconstruct':  # visualize.py takes it as its first argument
        return Program('mixmae', DRAWER, [command, *rest])
    return Program(f'mixmae {command}', COMMANDS[command][0], rest)


def tools_folder() -> Path:
    """Return the folder of the tools: beside the package in a clone, or inside the package if a wheel is installed."""
    package = Path(__file__).resolve().parent
    for folder in (package.parent / 'tools', package / '.mim' / 'tools'):
        if (folder / 'pretrain.py').is_file():
            return folder
    raise UsageError(f'{package} has no tools beside it: reinstall mixmae_mm with pip')


def main(words: Sequence[str] | None = None) -> None:
    """Run a command."""
    try:
        found = find(sys.argv[1:] if words is None else words)
        if isinstance(found, str):
            return print(found)
        path = tools_folder() / found.path if found.path else None
    except UsageError as error:
        print(f'mixmae: error: {error}', file=sys.stderr)
        sys.exit(2)
    sys.argv = [found.name, *found.words]
    run(path) if path else runpy.run_module('mixmae_mm.doctor', run_name='__main__')


def run(path: Path) -> None:
    """Run a program as Python does, but keep its name in `sys.argv[0]`, where runpy would put the path."""
    spec = importlib.util.spec_from_file_location('__main__', path)
    module = importlib.util.module_from_spec(spec)
    module.__spec__ = None  # as in a script, so that processes that it starts find it by its file
    sys.modules['__main__'] = module
    sys.path.insert(0, str(path.parent))  # tools import modules beside them
    spec.loader.exec_module(module)


if __name__ == '__main__':
    main()
