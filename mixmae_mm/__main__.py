"""The command line `mixmae`, or `python -m mixmae_mm`: each command runs one of the tools, which a wheel brings along.

The tools read the arguments, so that `mixmae train CONFIG --resume` is `python tools/train.py CONFIG --resume`.
"""

import difflib
import importlib.util
import runpy
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from mixmae_mm.version import __version__

DRAWER = 'visualization/visualize.py'
COMMANDS = {
    'pretrain': ('pretrain.py', 'pre-train an encoder on a folder of images'),
    'train': ('train.py', 'train what a config describes'),
    'test': ('test.py', 'test a checkpoint on the test set of a config'),
    'extract': ('analysis_tools/extract_features.py', 'write the features of images to a file'),
    'evaluate': ('analysis_tools/knn.py', 'evaluate an encoder by k-NN, or by a linear probe as well'),
    'reconstruct': (DRAWER, 'draw what a pre-trained model reconstructs'),
    'visualize': (None, 'draw attention, pca, similarity or neighbors'),
    'convert': (None, 'convert a checkpoint to another layout or format'),
    'check-data': ('dataset_tools/check_dataset.py', 'check a data set before training'),
    'doctor': (None, 'check the environment'),
}
"""Tool and description of each command; None where more words decide."""
DRAWINGS = {
    'attention': (DRAWER, 'attention maps over images'),
    'pca': (DRAWER, 'principal components of patch features as colors'),
    'similarity': (DRAWER, 'similar patches of two images'),
    'neighbors': (DRAWER, 'nearest neighbors of images'),
}
FORMATS = {
    'ours': ('model_converters/convert_weights.py', 'the names of this package'),
    'official': ('model_converters/convert_weights.py', "the names of the authors' code"),
    'mmpretrain': ('model_converters/convert_weights.py', 'the names of mmpretrain'),
    'mae': ('model_converters/export_vit.py', "a ViT as in MAE's files"),
    'timm': ('model_converters/export_vit.py', 'the same, which timm reads'),
    'onnx': ('model_converters/export_model.py', 'ONNX, OUT.onnx'),
    'pt2': ('model_converters/export_model.py', 'torch.export, OUT.pt2'),
    'safetensors': ('model_converters/export_model.py', 'one file that describes itself, OUT.safetensors'),
    'hub': ('model_converters/export_model.py', 'a folder for the Hugging Face Hub'),
}
HELP = ('-h', '--help')


class UsageError(Exception):
    """A command line that names no command, or none that there is."""


class Program(NamedTuple):
    """What a command line runs."""

    name: str
    """What is shown as the program in its help."""
    path: str | None
    """The tool, below `tools/`; None for the doctor, which is a module."""
    words: list[str]
    """Its arguments."""


def find(words: Sequence[str]) -> Program | str:
    """Find the program that a command line runs, or the help that it asks for.

    Raises:
        UsageError: there is no such command.
    """
    if not words or words[0] in HELP:
        usage = 'usage: mixmae COMMAND ...    (mixmae COMMAND --help lists its options)'
        return _help(usage, 'Pre-train, evaluate and convert vision transformers (MixMAE, MixedAE, MAE)', COMMANDS)
    if words[0] == '--version':
        return __version__
    command, *rest = words
    _check(command, COMMANDS, 'command')
    if command == 'visualize':
        return _find_drawing(rest)
    if command == 'convert':
        return _find_converter(rest)
    if command == 'doctor' and rest:
        return 'usage: mixmae doctor\n\nIt prints versions, and known problems with their fixes; it takes no options.'
    if command == 'reconstruct':
        return Program('mixmae', DRAWER, list(words))
    return Program(f'mixmae {command}', COMMANDS[command][0], rest)


def _find_drawing(words: list[str]) -> Program | str:
    """Find what `mixmae visualize` runs."""
    if not words or words[0] in HELP:
        return _help('usage: mixmae visualize WHAT CONFIG CHECKPOINT ...', 'Draw what an encoder has learned', DRAWINGS)
    _check(words[0], DRAWINGS, 'drawing')
    return Program('mixmae visualize', DRAWER, words)


def _find_converter(words: list[str]) -> Program | str:
    """Find what `mixmae convert` runs: `--to` decides, which may stand anywhere."""
    words = [part for word in words for part in (word.split('=', 1) if word.startswith('--to=') else [word])]
    if '--to' not in words[:-1]:
        if not words or {*HELP} & {*words}:
            usage = 'usage: mixmae convert CHECKPOINT OUT --to FORMAT ...    (with --help, the options of that format)'
            return _help(usage, 'Convert a checkpoint', FORMATS)
        raise UsageError(f'mixmae convert needs --to FORMAT, one of {", ".join(FORMATS)}')
    place = words.index('--to')
    target, rest = words[place + 1], words[:place] + words[place + 2 :]
    _check(target, FORMATS, 'format')
    tool = FORMATS[target][0]
    if tool.endswith('convert_weights.py'):
        rest += ['--to', target]
    elif tool.endswith('export_model.py') and not {*HELP} & {*rest}:
        _check_out(rest, target)
    return Program('mixmae convert', tool, rest)


def _check_out(words: list[str], target: str) -> None:
    """Check that OUT is named by its format, by which the tool chooses it."""
    suffix = '' if target == 'hub' else f'.{target}'
    out = next((word for word in words[1:2] if not word.startswith('-')), None)
    if out is None or Path(out).suffix != suffix:
        raise UsageError(
            f'mixmae convert CHECKPOINT OUT --to {target}: OUT, which follows CHECKPOINT, should '
            + (f'end in {suffix}' if suffix else 'be a folder, without an extension')
            + (f', got {out}' if out else '')
        )


def _check(word: str, known: Iterable[str], what: str) -> None:
    """Check that a word is known."""
    if word not in known:
        near = difflib.get_close_matches(word, known, 1)
        meant = f' Is {near[0]} meant?' if near else ''
        raise UsageError(f'there is no {what} {word}.{meant} Known: {", ".join(known)}')


def _help(usage: str, title: str, entries: dict[str, tuple[str | None, str]]) -> str:
    """Lay out a help page."""
    return '\n'.join([usage, '', title, '', *(f'  {name:12} {text}' for name, (_, text) in entries.items())])


def tools_folder() -> Path:
    """Return the folder of the tools: in the clone where there is one, else beside the package in the wheel.

    Raises:
        UsageError: this installation has none.
    """
    package = Path(__file__).resolve().parent
    for folder in (package.parent / 'tools', package / '.mim' / 'tools'):
        if (folder / 'pretrain.py').is_file():
            return folder
    raise UsageError(f'{package} has no tools beside it: install mixmae_mm again, by pip')


def main(words: Sequence[str] | None = None) -> None:
    """Run a command."""
    try:
        found = find(sys.argv[1:] if words is None else words)
        if isinstance(found, str):
            print(found)
            return
        path = tools_folder() / found.path if found.path else None
    except UsageError as error:
        print(f'mixmae: error: {error}', file=sys.stderr)
        sys.exit(2)
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
