"""Check every command and all Python code in README and docs/: `make docs-check`.

    python tools/docs/docs_check.py [--read-only] [PAGE ...]

Each command is run, run in a shortened form, or at least parsed by the tool that it calls, with its config loaded. With
`--read-only` none is run, which takes a minute. Python code is run, with small models in place of the reader's.

run        as it stands, with small images and untrained models in place of the reader's
shortened  one epoch of eight images, 28 scenes, three neighbors
parsed     its tool takes the options, its config has the settings; it is run by the tests, or takes too long
launched   its launcher is run, with stand-ins for srun and Python, and what it starts is parsed
outside    a program that is not ours
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import mixmae_mm
from mixmae_mm.utils import compat

compat.apply()  # before torch and the libraries that it fixes

import commands
from commands import MICRO, ROOT, Command, ReadError
from python_running import run_page, save_untrained

IMAGES = 'data/materials'
TRAINING = [
    '--cfg-options',
    'train_cfg.max_epochs=1',
    'param_scheduler=None',  # warm-up would be longer than the run
    'train_dataloader.batch_size=4',
    'train_dataloader.num_workers=0',
    'train_dataloader.dataset.indices=8',
    'default_hooks.logger.interval=1',
]
RUN = {
    'tools/train.py': TRAINING,
    'tools/test.py': ['--cfg-options', 'test_dataloader.num_workers=0'],
    'tools/dataset_tools/make_materials.py': ['--train', '14', '--val', '14', '--workers', '1'],
    'tools/analysis_tools/evaluate.py': ['--k', '3'],
    'tools/dataset_tools/check_dataset.py': [],
    'tools/visualization/training_curves.py': [],
    'docs/figures/how_it_works.py': [],
    **{f'tools/model_converters/{name}.py': [] for name in ('inspect_checkpoint', 'convert_weights', 'publish_model')},
}
"""Tools that are run, with the arguments that make them quick."""
NOT_HERE = re.compile(
    r'in1k|imagenet[-/]|ade20k|coco|camvid|nuclei|shards|DETECT|configs/(detection|segmentation)|classification/.*-base-'
    r'|--amp|--tta'
)
"""Commands that need data, downstream libraries or hours that this check does not have."""
SAMPLES = {MICRO: 'CHECKPOINT.pth', commands.CLASSIFIER: 'CLASSIFIER.pth', commands.MIXEDAE: 'MIXEDAE.pth'}


class Scratch:
    """Folder in which the commands of the pages find the files that they name."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.count = folder, 0
        for name in ('configs', 'tools', 'mixmae_mm'):
            (folder / name).symlink_to(ROOT / name)
        shutil.copytree(ROOT / 'docs', folder / 'docs')  # pages draw into it
        (folder / 'written').mkdir()
        self.run(['tools/dataset_tools/make_materials.py', IMAGES, '--train', '28', '--val', '14', '--workers', '1'])
        (folder / 'data/imagenette_96').symlink_to('materials')
        shutil.make_archive(str(folder / 'images'), 'zip', folder / IMAGES)
        for config, name in SAMPLES.items():
            save_untrained(ROOT / config, folder / name)
        self.run(['tools/train.py', MICRO, '--work-dir', 'work_dirs/RUN', *TRAINING])

    def run(self, words: list[str]) -> None:
        """Run Python with these words; if it fails, raise a `ReadError` with the end of its output."""
        paths = os.pathsep.join([str(self.folder), os.environ.get('PYTHONPATH', '')])
        env = dict(os.environ, PYTHONPATH=paths, COLUMNS='120')
        done = subprocess.run([sys.executable, *words], cwd=self.folder, env=env, capture_output=True, text=True)
        if done.returncode:
            raise ReadError(f'ended with {done.returncode}: {(done.stdout + done.stderr)[-1500:]}')

    def check(self, command: Command) -> str:
        """Run a command, or only parse it if it is not among those to run; return its class."""
        words = commands.words_of(command)[1:]
        if command.inline or not words or words[0] not in RUN or NOT_HERE.search(command.text):
            return commands.read(command)
        self.run([words[0], *self.filled(words), *RUN[words[0]]])
        return 'shortened' if RUN[words[0]] else 'run'

    def filled(self, words: list[str]) -> list[str]:
        """Replace the placeholders that a reader fills in by what is in the folder."""
        config = commands.CONFIGS.get(words[0], MICRO)
        self.count += 1
        out = f'written/{self.count}'
        folder = IMAGES if any('configs/classification' in word for word in words) else f'{IMAGES}/train'
        fills = {
            r'^CONFIG(\.py)?$': config,
            r'\b(CHECKPOINT|PRETRAINED|FILE)\b(\.pth)?': SAMPLES[config],
            r'^OUT(\.pth)?$': f'{out}.pth',
            r'/(your|any)/folder|^FOLDER$': folder,
            r'^FOLDER/': f'{IMAGES}/',
            r'/your/images\.zip': 'images.zip',
            r'^work_dirs/(ONE|OTHER)$': 'work_dirs/RUN',
        }
        if words[0].endswith('make_materials.py'):
            fills = {r'^data/': f'{out}/'}
        filled = words[1:]
        for pattern, fill in fills.items():
            filled = [re.sub(pattern, fill, word) for word in filled]
        for name, file in re.findall(r'work_dirs/([\w.-]+)/(epoch_\d+\.pth)', ' '.join(filled)):
            path = self.folder / 'work_dirs' / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            save_untrained(next((ROOT / 'configs').glob(f'*/{name}.py'), ROOT / config), path)
        return filled


def check_commands(found: list[Command], scratch: Scratch | None) -> Iterator[tuple[Command, str, str]]:
    """Yield each command with its class and what is wrong with it; equal texts are checked once."""
    known: dict[tuple[str, bool], tuple[str, str]] = {}
    for command in found:
        if command[1:] not in known:
            try:
                known[command[1:]] = (scratch.check(command) if scratch else commands.read(command)), ''
            except (ReadError, OSError, ValueError, KeyError) as error:
                known[command[1:]] = 'FAILS', str(error)
        yield command, *known[command[1:]]


def main(arguments: list[str] | None = None) -> int:
    """Check, print, and return whether anything is wrong, as an exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('pages', nargs='*', help='names such as weights.md (all)')
    parser.add_argument('--read-only', action='store_true', help='run nothing')
    args = parser.parse_args(arguments)
    chosen = [page for page in commands.pages() if not args.pages or page.name in args.pages]
    found = [command for page in chosen for command in commands.commands_of(page)]
    with tempfile.TemporaryDirectory() as folder:
        rows = list(check_commands(found, None if args.read_only else Scratch(Path(folder))))
    for command, kind, why in rows:
        print(f'{command.page:20} {kind:10} {command.text}' + (f'\n    {why}' if why else ''))
    print(', '.join(f'{number} {kind}' for kind, number in Counter(kind for _, kind, _ in rows).most_common()))
    wrong = [problem for page in chosen for problem in run_page(page)]
    print(*wrong, sep='\n')
    count = len(wrong) + sum(bool(why) for *_, why in rows)
    print(f'{len(found)} commands of {len(chosen)} pages, {count} wrong (mixmae_mm {mixmae_mm.__version__})')
    return int(count > 0)


if __name__ == '__main__':
    sys.exit(main())
