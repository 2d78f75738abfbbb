"""What tools/train.py answers to inputs that users get wrong: one clear message, or a counted warning and a run."""

import re
import runpy
import sys
import uuid
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image

ROOT = Path(__file__).parents[2]
MICRO = ROOT / 'configs/mixmae/mixmae_mixmim-swin-micro_1xb64-coslr-40e_materials-64px.py'
FINETUNING = ROOT / 'configs/classification/mixmim-swin-micro_1xb64-coslr-10e_materials-64px.py'
SMALL = {
    'model.backbone.arch': dict(_delete_=True, embed_dims=8, depths=(1, 1, 1), num_heads=(1, 1, 1)),
    'model.neck.in_channels': 32,
}
DATASET = 'train_dataloader.dataset'


@pytest.fixture
def images(tmp_path):
    """Eight images."""
    (tmp_path / 'images').mkdir()
    for number in range(8):
        pixels = np.random.default_rng(number).integers(0, 256, (70, 80, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f'images/{number}.jpg')
    return tmp_path / 'images'


@pytest.fixture
def train(tmp_path, images, monkeypatch, capfd):
    """Train the micro config on the folder, with some settings changed; the error, if any, and what was printed."""

    def run(config=MICRO, **settings):
        small = SMALL if config == MICRO else {}
        config = Config.fromfile(config)
        quick = {
            f'{DATASET}.data_root': str(images),
            'train_dataloader.num_workers': 0,
            'train_dataloader.persistent_workers': False,
            'train_dataloader.batch_size': 4,
            'train_cfg.max_epochs': 5,
            'default_hooks.checkpoint.interval': 5,
            'experiment_name': uuid.uuid4().hex,
        }
        config.merge_from_dict({**small, **quick, **settings})
        config.dump(tmp_path / 'config.py')
        command = ['tools/train.py', str(tmp_path / 'config.py'), '--work-dir', str(tmp_path / 'work'), '--verbose']
        monkeypatch.setattr(sys, 'argv', command)
        try:
            runpy.run_path(str(ROOT / 'tools/train.py'), run_name='__main__')
        except SystemExit as error:
            return str(error.code), ''
        assert (tmp_path / 'work/epoch_5.pth').is_file()
        return '', ''.join(capfd.readouterr())

    return run


def pipeline(**settings):
    """Change the pipeline's second transform, which reads and crops."""
    changed = Config.fromfile(MICRO).train_pipeline
    changed[1].update(settings)
    return {f'{DATASET}.pipeline': changed}


FOREIGN = 'resnet.pth'
WRONG = {
    'a missing folder': ({f'{DATASET}.data_root': '/no/folder'}, "data_root '/no/folder' does not exist", DATASET),
    'an odd last batch': (
        {f'{DATASET}.indices': 7, 'train_dataloader.drop_last': False},
        'batch of 3 images cannot be split into groups of 2',
        'drop_last=True',
    ),
    'no multiple of the cell': (pipeline(scale=72), '72 x 72 pixels cannot be split into cells of 16', 'cell_size'),
    'no checkpoint': ({'load_from': '/no/such.pth'}, '/no/such.pth', ''),
    'a foreign checkpoint': (
        {'load_from': FOREIGN},
        'this checkpoint belongs to another model',
        'the checkpoint has 2 tensors, e.g.: conv1.weight',
    ),
    'one channel': (pipeline(mode='L'), 'images have 1 channels, but mean and std are for 3', ''),
}


@pytest.mark.parametrize('case', WRONG)
def test_one_message_with_what_to_do(train, tmp_path, monkeypatch, case):
    monkeypatch.chdir(tmp_path)
    torch.save(dict(state_dict={'conv1.weight': torch.zeros(4, 3, 3, 3), 'bn1.weight': torch.ones(4)}), FOREIGN)
    settings, what, remedy = WRONG[case]
    error, _ = train(**settings)
    assert error.startswith('error: ')
    assert what in error.splitlines()[0]
    assert remedy in error


def test_finetuning_before_pretraining(train, images):
    for split in ('train', 'val'):
        (images / split / 'a').mkdir(parents=True)
        Image.new('RGB', (64, 64)).save(images / split / 'a/0.jpg')
    settings = {'val_dataloader.dataset.data_root': str(images), 'train_dataloader.batch_size': 1}
    error, _ = train(FINETUNING, **settings, **{'model.backbone.init_cfg.checkpoint': 'work_dirs/none/epoch_40.pth'})
    assert error.startswith('error: there is no checkpoint work_dirs/none/epoch_40.pth')


def test_truncated_and_foreign_files_among_good_images(train, images):
    content = (images / '0.jpg').read_bytes()
    (images / '2.jpg').write_bytes(content[: len(content) // 2])
    (images / '3.jpg').write_text('a shopping list')
    error, output = train()
    assert not error
    found = re.findall(r'image skipped \((\d) so far\): .*/(\d)\.jpg: ', output)
    assert [count for count, _ in found] == ['1', '2']
    assert sorted(name for _, name in found) == ['2', '3']


def test_nothing_but_text_files(train, images):
    for path in images.iterdir():
        path.write_text('a shopping list')
    error, _ = train()
    assert error.startswith(f"error: 8 images in a row below '{images}' cannot be read, the first of them: ")
    assert ': not an image, whatever its name says' in error
