"""Run a command of the pages, as it stands or shortened, in a folder with small images and untrained models."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import torch
from command_finding import ROOT, Command
from command_reading import CLASSIFIER, MICRO, MIXEDAE, ReadError, placed, words_of
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

IMAGES = 'data/shapes'
TRAINING = [
    '--cfg-options',
    'train_cfg.max_epochs=1',
    'param_scheduler=None',  # warm-up would be longer than the run
    'train_dataloader.batch_size=4',
    'train_dataloader.num_workers=0',
    'train_dataloader.persistent_workers=False',
    'train_dataloader.dataset.indices=8',
    'default_hooks.logger.interval=1',
]
SHORTER = {
    'tools/train.py': TRAINING,
    'tools/test.py': ['--cfg-options', 'test_dataloader.num_workers=0', 'test_dataloader.persistent_workers=False'],
    'tools/dataset_tools/make_shapes.py': ['--train', '10', '--val', '10', '--workers', '1'],
    'tools/analysis_tools/knn.py': ['--k', '3'],
}
"""Tools that are run, with what is added to make them quick."""
WHOLE = (
    'tools/dataset_tools/check_dataset.py',
    'tools/visualization/training_curves.py',
    'docs/figures/how_it_works.py',
    'tools/model_converters/inspect_checkpoint.py',
    'tools/model_converters/convert_weights.py',
    'tools/model_converters/export_vit.py',
    'tools/model_converters/export_backbone.py',
    'tools/model_converters/publish_model.py',
)
"""Tools that are run as the page says."""
NOT_HERE = re.compile(r'in1k|imagenet/|ade20k|coco|camvid|nuclei|DETECT|configs/(detection|segmentation)|--amp|--tta')
"""Commands that need data, hosts or hours that this check does not have."""
SAMPLES = {MICRO: 'CHECKPOINT.pth', CLASSIFIER: 'CLASSIFIER.pth', MIXEDAE: 'MIXEDAE.pth'}


class Scratch:
    """A folder in which the commands of the pages find what they name."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.written = folder, 0
        for name in ('configs', 'tools', 'mixmae_mm'):
            (folder / name).symlink_to(ROOT / name)
        shutil.copytree(ROOT / 'docs', folder / 'docs')  # pages tell to draw into it
        few = ['--train', '20', '--val', '10', '--workers', '1']
        self.run(['tools/dataset_tools/make_shapes.py', IMAGES, *few])
        (folder / 'data/imagenette_96').symlink_to('shapes')
        shutil.make_archive(str(folder / 'images'), 'zip', folder / IMAGES)
        for config, name in SAMPLES.items():
            save_untrained(config, folder / name)
        self.run(['tools/train.py', MICRO, '--work-dir', 'work_dirs/RUN', *TRAINING])

    def run(self, words: list[str]) -> None:
        """Run Python with these words.

        Raises:
            ReadError: it fails; with the end of what it printed.
        """
        paths = os.pathsep.join([str(self.folder), os.environ.get('PYTHONPATH', '')])
        env = dict(os.environ, PYTHONPATH=paths, COLUMNS='120')
        done = subprocess.run([sys.executable, *words], cwd=self.folder, env=env, capture_output=True, text=True)
        if done.returncode:
            raise ReadError(f'ended with {done.returncode}: {(done.stdout + done.stderr)[-1500:]}')

    def check(self, command: Command) -> str | None:
        """Run a command if it is one that is run: 'run' or 'shortened', else None.

        Raises:
            ReadError: it fails.
        """
        words = words_of(command)[1:]
        if command.inline or not words or NOT_HERE.search(command.text):
            return None
        if words[:2] == ['-m', 'mixmae_mm.doctor']:
            self.run(words)
            return 'run'
        if words[0] not in SHORTER and words[0] not in WHOLE:
            return None
        self.run([words[0], *self.filled(words), *SHORTER.get(words[0], [])])
        return 'shortened' if words[0] in SHORTER else 'run'

    def filled(self, words: list[str]) -> list[str]:
        """Put what is there in the places of a tool's words that a reader is to fill in."""
        tool, checkpoint = words[0], SAMPLES.get(placed('CONFIG', words[0]), 'CHECKPOINT.pth')
        self.written += 1
        out = f'written/{self.written}'
        (self.folder / 'written').mkdir(exist_ok=True)
        fills = {r'^CONFIG(\.py)?$': placed('CONFIG', tool), r'\b(CHECKPOINT|PRETRAINED|FILE)\b(\.pth)?': checkpoint,
                 r'^OUT(\.pth)?$': f'{out}.pth', r'/(your|any)/folder|^FOLDER$': f'{IMAGES}/train',
                 r'^FOLDER/': f'{IMAGES}/', r'/your/images\.zip': 'images.zip',
                 r'^work_dirs/(ONE|OTHER)$': 'work_dirs/RUN'}  # fmt: skip
        if tool.endswith('make_shapes.py'):
            fills[r'^data/'] = f'{out}/'
        filled = []
        for word in words[1:]:
            for pattern, fill in fills.items():
                word = re.sub(pattern, fill, word)
            filled.append(word)
        for stem, file in re.findall(r'work_dirs/([\w.-]+)/(epoch_\d+\.pth)', ' '.join(filled)):
            self.provide(stem, file)
        return filled

    def provide(self, stem: str, file: str) -> None:
        """Put an untrained model where a page expects the checkpoint of a run."""
        path = self.folder / 'work_dirs' / stem / file
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            save_untrained(str(next((ROOT / 'configs').glob(f'*/{stem}.py')).relative_to(ROOT)), path)


def save_untrained(config: str, path: Path) -> None:
    """Write a config's model, untrained, as a checkpoint."""
    settings = Config.fromfile(ROOT / config)
    init_default_scope(settings.default_scope)
    model = dict(settings.model)
    if 'head' in model and 'data_preprocessor' not in model:
        model['data_preprocessor'] = settings.get('data_preprocessor')
    torch.save(dict(state_dict=MODELS.build(model).state_dict(), meta={}), path)
