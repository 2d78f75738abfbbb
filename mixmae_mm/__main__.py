"""The command line `mixmae`, or `python -m mixmae_mm`: each command runs one of the tools, which a wheel brings along.

The tools read the arguments, so that `mixmae train CONFIG --resume` is `python tools/train.py CONFIG --resume`.
"""

import difflib
import importlib.util
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from mixmae_mm.version import __version__

COMMANDS = {
    'pretrain': ('pretrain.py', 'pre-train an encoder on a folder of images'),
    'train': ('train.py', 'train what a config describes'),
    'test': ('test.py', 'test a checkpoint on the test set of a config'),
    'extract': ('analysis_tools/extract_features.py', 'write the features of images to a file'),
    'evaluate': ('analysis_tools/knn.py', 'evaluate an encoder by k-NN, or by a linear probe as well'),
    'reconstruct': ('visualization/reconstructions.py', 'draw what a pre-trained model reconstructs'),
    'visualize attention': ('visualization/attention_maps.py', 'draw attention maps over images'),
    'visualize pca': ('visualization/patch_pca.py', 'draw principal components of patch features as colors'),
    'visualize similarity': ('visualization/patch_similarity.py', 'draw similar patches of two images'),
    'visualize neighbors': ('visualization/neighbors.py', 'draw nearest neighbors of images'),
    'convert': ('model_converters/convert_weights.py', 'convert a checkpoint to another layout or format'),
    'check-data': ('dataset_tools/check_dataset.py', 'check a data set before training'),
    'doctor': (None, 'check the environment'),
}
"""The tool of each command, below `tools/` (the doctor is a module), and its description."""
HELP = {'-h', '--help'}


class UsageError(Exception):
    """A command line that names no command, or none that there is."""


class Program(NamedTuple):
    """What a command line runs: its name, its tool (None for the doctor), and arguments."""

    name: str
    path: str | None
    words: list[str]


def find(words: Sequence[str]) -> Program | str:
    """Find the program that a command line runs, or the help that it asks for."""
    if list(words) == ['--version']:
        return __version__
    for size in (1, 2):
        command = ' '.join(words[:size])
        if command in COMMANDS:
            return Program(f'mixmae {command}', COMMANDS[command][0], list(words[size:]))
    below = [command for command in COMMANDS if words and command.startswith(f'{words[0]} ')]
    if len(words) < 2 and (below or not words) or HELP & {*words}:
        entries = [f'  {command:20} {COMMANDS[command][1]}' for command in below or COMMANDS]
        return '\n'.join(['usage: mixmae COMMAND ...    (mixmae COMMAND --help lists its options)', '', *entries])
    given = ' '.join(words[: 1 + bool(below)])
    near = difflib.get_close_matches(given, COMMANDS, 1)
    meant = f' Is {near[0]} meant?' if near else ''
    raise UsageError(f'there is no command {given}.{meant} Known: {", ".join(below or COMMANDS)}')


def tools_folder() -> Path:
    """Return the folder of the tools: in the clone where there is one, else beside the package in the wheel."""
    package = Path(__file__).resolve().parent
    for folder in (package.parent / 'tools', package / '.mim' / 'tools'):
        if (folder / 'pretrain.py').is_file():
            return folder
    raise UsageError(f'{package} has no tools beside it: install mixmae_mm again, by pip')


def main(words: Sequence[str] | None = None) -> None:
    """Run a command."""
    try:
        found = find(sys.argv[1:] if words is None else words)
        path = tools_folder() / found.path if isinstance(found, Program) and found.path else None
    except UsageError as error:
        print(f'mixmae: error: {error}', file=sys.stderr)
        sys.exit(2)
    if isinstance(found, str):
        print(found)
        return
    sys.argv = [found.name, *found.words]
    if path is None:
        runpy.run_module('mixmae_mm.doctor', run_name='__main__')
    else:
        run(path)


def run(path: Path) -> None:
    """Run a program as Python does, but for its name, which stays `sys.argv[0]` (runpy puts the path there)."""
    spec = importlib.util.spec_from_file_location('__main__', path)
    module = importlib.util.module_from_spec(spec)
    module.__spec__ = None  # as of a script; processes that it starts then find it by its file
    sys.modules['__main__'] = module
    sys.path.insert(0, str(path.parent))  # tools import what stands beside them
    spec.loader.exec_module(module)


if __name__ == '__main__':
    main()
