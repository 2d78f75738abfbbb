"""Make a checkpoint fit to be given away: weights and what is harmless to know of them, with its sha256 in its name.

    python tools/model_converters/publish_model.py CHECKPOINT OUT [--force]

OUT is NAME.pth; written is NAME-<first 8 digits of the sha256>.pth, as OpenMMLab does, so that mmengine and torch.hub
check what they download. Kept are the weights, epoch and iteration, the dataset's classes, the config as text and
versions. Optimizer, schedules, message hub, logs and all else stay behind, and so do paths of this machine: of
`work_dir` nothing remains, of other absolute paths the last part.
"""

import argparse
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import mixmae_mm
from mixmae_mm.utils import compat

compat.apply()  # before torch and the libraries that it fixes

import torch
from reading import PROGRESS, Contents, plain, read_contents
from torch import Tensor
from writing import add_options, check_free, copied, megabytes, scratch, write_pth

from mixmae_mm.utils.arguments import expanded
from mixmae_mm.utils.errors import readable_errors
from mixmae_mm.utils.names import expand

DIGITS = 8
KEPT = re.compile(rf'{"|".join(PROGRESS)}|dataset_meta|cfg|\w*version')
"""What is harmless to know."""
WORK_DIR = re.compile(r'^work_dir = .*\n?', re.MULTILINE)
ROOT = r'(?:file:/+|~\w*[\\/]+|[A-Za-z]:[\\/]+|/)'
"""How absolute paths begin."""
WHOLE = re.compile(rf'{ROOT}[^\'"\n]+')
INSIDE = re.compile(rf'(?<=[\'"]){WHOLE.pattern}(?=[\'"])|(?<![\w.:/\\-]){ROOT}[\w.+@%-]+[\\/][\w.+@%/\\-]+')
"""A path in a longer text: all between quotes, or what has two parts or more."""


def cleaned(contents: Contents) -> tuple[dict, list[str]]:
    """Keep weights and harmless meta.

    Returns:
        What to write, and a sentence for everything that was taken away or changed.
    """
    told = contents.meta
    meta = {name: plain(x) for name, x in told.items() if KEPT.fullmatch(name)}
    gone = [*sorted({*contents.others} - {'meta', *PROGRESS}), *(f'meta.{name}' for name in told if name not in meta)]
    notes = [f'left out: {", ".join(gone)}'] if gone else []
    meta |= dict(mixmae_mm_version=mixmae_mm.__version__)
    meta = {name: _without_paths(x, name, notes) for name, x in meta.items()}
    return {contents.container or 'state_dict': copied(contents.weights), 'meta': meta}, notes


def _without_paths(value: object, name: str, notes: list[str]) -> object:
    """Take the paths of this machine out of what is told, and note each."""
    if isinstance(value, dict):
        return {key: _without_paths(x, f'{name}.{key}', notes) for key, x in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_without_paths(x, name, notes) for x in value)
    return _shorten(value, name, notes) if isinstance(value, str) else value


def _shorten(text: str, name: str, notes: list[str]) -> str:
    """Take paths out of a text."""

    def cut(found: re.Match) -> str:
        notes.append(f'shortened in {name}: {found[0]} -> {last_part(found[0])}')
        return last_part(found[0])

    if name == 'cfg':
        notes += [f'left out of cfg: {line.strip()}' for line in WORK_DIR.findall(text)]
        text = WORK_DIR.sub('', text)
    return cut(WHOLE.fullmatch(text)) if WHOLE.fullmatch(text) else INSIDE.sub(cut, text)


def last_part(path: str) -> str:
    """Return the last part of a path, of whatever system."""
    return re.split(r'[\\/]+', path.rstrip('\\/'))[-1]


def write(content: dict, out: Path, force: bool) -> tuple[Path, str]:
    """Write beside, read back, and give the file its name with the first digits of its sha256, which is returned too.

    Raises:
        ValueError: a file of that name is there, or what was read back differs.
    """
    with scratch(out) as file:
        write_pth(content, file)
        check_same(content, torch.load(file, map_location='cpu', weights_only=True))
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        published = out.with_name(f'{out.stem}-{digest[:DIGITS]}.pth')
        check_free(published, force)
        file.replace(published)
    return published, digest


def check_same(written: dict, read: dict) -> None:
    """Check that what was read back is what was written, to the bit.

    Raises:
        ValueError: it differs.
    """
    if [*_leaves(written)] != [*_leaves(read)]:
        raise ValueError('what was written reads back differently: the disk may be full or broken; nothing was kept')


def _leaves(content: dict, name: str = '') -> Iterator[tuple]:
    """List all values by name, tensors as their bytes."""
    for key, value in content.items():
        if isinstance(value, dict):
            yield from _leaves(value, f'{name}{key}/')
        else:
            yield f'{name}{key}', _bytes(value) if isinstance(value, Tensor) else value


def _bytes(x: Tensor) -> tuple:
    """Return type, shape and a hash of a tensor's bytes."""
    raw = x.contiguous().flatten().view(torch.uint8).numpy()
    return x.dtype, x.shape, hashlib.sha256(raw).digest()


def main(arguments: list[str] | None = None) -> None:
    """Read, clean, write."""
    parser = argparse.ArgumentParser(description=f'Publish a checkpoint (mixmae_mm {mixmae_mm.__version__})')
    parser.add_argument('checkpoint', type=expand, help='any checkpoint')
    parser.add_argument('out', type=expanded, help='NAME.pth, from which NAME-<8 digits>.pth is made')
    add_options(parser)
    args = parser.parse_args(arguments)
    with readable_errors(args.debug):
        if args.out.suffix != '.pth':
            raise ValueError(f'{args.out} should end in .pth')
        contents = read_contents(args.checkpoint)
        content, notes = cleaned(contents)
        published, digest = write(content, args.out, args.force)
    for line in [*notes, f'sha256: {digest}']:
        print(line)
    print(f'{published}: {len(contents.weights)} tensors, {megabytes(published.stat().st_size)}')


if __name__ == '__main__':
    main()
