"""Prepare a checkpoint for publication: keep weights and harmless metadata, and put the sha256 into the file's name.

    python tools/model_converters/publish_model.py CHECKPOINT OUT [--force]

OUT is NAME.pth; the tool writes NAME-<first 8 digits of the sha256>.pth, as OpenMMLab does, so that mmengine and
torch.hub check what they download. It keeps the weights, epoch and iteration, the dataset's classes, the config as text
and versions. Optimizer, schedules, message hub, logs and all else are removed, and so are paths of this machine:
`work_dir` entirely, other absolute paths except for their last part.
"""

import argparse
import hashlib
import re

import mixmae_mm
from mixmae_mm.utils import compat

compat.apply()  # before torch and the libraries that it fixes

from reading import PROGRESS, Contents, add_options, check_free, plain, read_contents, to_bytes, write

from mixmae_mm.utils.arguments import expanded
from mixmae_mm.utils.errors import readable_errors
from mixmae_mm.utils.names import expand

KEPT = re.compile(rf'{"|".join(PROGRESS)}|dataset_meta|cfg|\w*version')
"""Metadata that is harmless to publish."""
WORK_DIR = re.compile(r'^work_dir = .*\n?', re.MULTILINE)
ROOT = r'(?:file:/+|~\w*[\\/]+|[A-Za-z]:[\\/]+|/)'
"""Beginnings of absolute paths."""
WHOLE = re.compile(rf'{ROOT}[^\'"\n]+')
INSIDE = re.compile(rf'(?<=[\'"]){WHOLE.pattern}(?=[\'"])|(?<![\w.:/\\-]){ROOT}[\w.+@%-]+[\\/][\w.+@%/\\-]+')
"""A path inside a longer text: everything between quotes, or a path of two parts or more."""


def cleaned_meta(contents: Contents, notes: list[str]) -> dict:
    """Keep the harmless metadata, and add a note for everything that is removed or changed."""
    meta = {name: plain(x) for name, x in contents.meta.items() if KEPT.fullmatch(name)}
    gone = [*sorted({*contents.others} - {'meta', *PROGRESS}), *(f'meta.{x}' for x in contents.meta if x not in meta)]
    notes += [f'left out: {", ".join(gone)}'] if gone else []
    meta |= dict(mixmae_mm_version=mixmae_mm.__version__)
    return {name: _without_paths(x, name, notes) for name, x in meta.items()}


def _without_paths(value: object, name: str, notes: list[str]) -> object:
    """Remove the paths of this machine from plain data, and add a note for each."""
    if isinstance(value, dict):
        return {key: _without_paths(x, f'{name}.{key}', notes) for key, x in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_without_paths(x, name, notes) for x in value)
    return _shorten(value, name, notes) if isinstance(value, str) else value


def _shorten(text: str, name: str, notes: list[str]) -> str:
    """Remove paths from a text, and add a note for each."""

    def cut(found: re.Match) -> str:
        last = re.split(r'[\\/]+', found[0].rstrip('\\/'))[-1]
        notes.append(f'shortened in {name}: {found[0]} -> {last}')
        return last

    if name == 'cfg':
        notes += [f'left out of cfg: {line.strip()}' for line in WORK_DIR.findall(text)]
        text = WORK_DIR.sub('', text)
    return cut(WHOLE.fullmatch(text)) if WHOLE.fullmatch(text) else INSIDE.sub(cut, text)


def main(arguments: list[str] | None = None) -> None:
    """Read, clean, write."""
    parser = argparse.ArgumentParser(description=f'Publish a checkpoint (mixmae_mm {mixmae_mm.__version__})')
    parser.add_argument('checkpoint', type=expand, help='any checkpoint')
    parser.add_argument('out', type=expanded, help='NAME.pth, from which NAME-<8 digits>.pth is made')
    add_options(parser)
    args, notes = parser.parse_args(arguments), []
    if args.out.suffix != '.pth':
        parser.error(f'{args.out} should end in .pth')
    with readable_errors(args.debug):
        contents = read_contents(args.checkpoint)
        content = to_bytes(contents.weights, contents.container or 'state_dict', meta=cleaned_meta(contents, notes))
        digest = hashlib.sha256(content).hexdigest()
        published = args.out.with_name(f'{args.out.stem}-{digest[:8]}.pth')
        check_free(published, args.force)
        write(content, published)
    print(*notes, f'sha256: {digest}', f'{published}: {len(contents.weights)} tensors', sep='\n')


if __name__ == '__main__':
    main()
