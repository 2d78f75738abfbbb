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
MICRO = ROOT / 'configs/mixmae/mixmae_mixmim-swin-micro_1xb64-coslr-40e_shapes-64px.py'
FINETUNING = ROOT / 'configs/classification/mixmim-swin-micro_1xb64-coslr-10e_shapes-64px.py'
SMALL = {
    'model.backbone.arch': dict(_delete_=True, embed_dims=8, depths=(1, 1, 1), num_heads=(1, 1, 1)),
    'model.neck.in_channels': 32,
}


@pytest.fixture
def images(tmp_path):
    """Eight images."""
    folder = tmp_path / 'images'
    for number in range(8):
        write(folder / f'{number}.jpg', np.random.default_rng(number).integers(0, 256, (70, 80, 3), dtype=np.uint8))
    return folder


def write(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def train(tmp_path, images, monkeypatch, capfd):
    """Train the micro config on the folder, with some settings changed; the error, if any, and what was printed."""

    def run(*arguments, config=MICRO, **settings):
        small = SMALL if config == MICRO else {}
        config = Config.fromfile(config)
        quick = {
            'train_dataloader.dataset.data_root': str(images),
            'train_dataloader.num_workers': 0,
            'train_dataloader.persistent_workers': False,
            'train_dataloader.batch_size': 4,
            'train_cfg.max_epochs': 5,
            'default_hooks.checkpoint.interval': 5,
            'experiment_name': uuid.uuid4().hex,
        }
        config.merge_from_dict({**small, **quick, **settings})
        config.dump(tmp_path / 'config.py')
        command = ['tools/train.py', str(tmp_path / 'config.py'), '--work-dir', str(tmp_path / 'work'), *arguments]
        monkeypatch.setattr(sys, 'argv', command)
        try:
            runpy.run_path(str(ROOT / 'tools/train.py'), run_name='__main__')
        except SystemExit as error:
            return str(error.code), ''
        return '', ''.join(capfd.readouterr())

    return run


def trained(tmp_path):
    return (tmp_path / 'work/epoch_5.pth').is_file()


def test_a_missing_folder(train):
    error, _ = train(**{'train_dataloader.dataset.data_root': '/no/such/folder'})
    assert error.startswith(
        "error: data_root '/no/such/folder' does not exist (looked for /no/such/folder); set it in the config or with "
        '--cfg-options train_dataloader.dataset.data_root=/your/folder\n'
    )


def test_an_empty_folder(train, tmp_path):
    (tmp_path / 'empty').mkdir()
    error, _ = train(**{'train_dataloader.dataset.data_root': str(tmp_path / 'empty')})
    assert error.startswith(f"error: no image below '{tmp_path}/empty': it holds no files at all; images end in ")


def test_a_text_file_named_jpg(train, images, tmp_path):
    (images / '3.jpg').write_text('a shopping list')
    error, output = train()
    assert not error
    assert output.count(f'corrupt image skipped (1 so far): {images}/3.jpg: not an image') == 1
    assert trained(tmp_path)


def test_a_truncated_jpeg_among_good_ones(train, images, tmp_path):
    content = (images / '0.jpg').read_bytes()
    for number in (2, 5):
        (images / f'{number}.jpg').write_bytes(content[: len(content) // 2])
    error, output = train()
    assert not error
    found = re.findall(r'image skipped \((\d) so far\): .*/(\d)\.jpg: OSError: image file is truncated', output)
    assert [count for count, _ in found] == ['1', '2']
    assert sorted(name for _, name in found) == ['2', '5']
    assert trained(tmp_path)


def test_nothing_but_text_files(train, images):
    for path in images.iterdir():
        path.write_text('a shopping list')
    error, _ = train()
    assert error.startswith(f"error: 8 images in a row below '{images}' cannot be read, the first of them: ")
    assert ': not an image, whatever its name says' in error


@pytest.mark.parametrize(('batch_size', 'indices', 'size'), [(5, 8, 5), (4, 7, 3)], ids=['all', 'last'])
def test_an_odd_batch(train, tmp_path, batch_size, indices, size):
    settings = {'train_dataloader.batch_size': batch_size, 'train_dataloader.dataset.indices': indices}
    error, _ = train(**settings, **{'train_dataloader.drop_last': False})
    assert error.startswith(
        f'error: batch of {size} images cannot be split into groups of 2: make batch_size a multiple of 2 and set '
        'drop_last=True in the dataloader\n'
    )


def test_an_odd_last_batch_is_dropped_by_the_configs(train, tmp_path):
    error, _ = train(**{'train_dataloader.dataset.indices': 7})
    assert not error
    assert trained(tmp_path)


def test_a_size_that_is_no_multiple_of_the_cell(train):
    pipeline = Config.fromfile(MICRO).train_pipeline
    pipeline[1].scale = 72
    error, _ = train(**{'train_dataloader.dataset.pipeline': pipeline})
    assert error.startswith(
        'error: images of 72 x 72 pixels cannot be cut into cells of 16 x 16: make their sides multiples of 16, or '
        'change cell_size\n'
    )


def test_an_unknown_arch(train):
    error, _ = train(**{'model.backbone.arch': 'gigantic'})
    assert "arch 'gigantic' is unknown: take one of tiny, base, large, huge, or a dict with embed_dims" in error


@pytest.mark.parametrize('key', ['load_from', 'model.backbone.init_cfg'])
def test_a_wrong_checkpoint_path(train, key):
    value = '/no/such.pth'
    error, _ = train(**{key: value if key == 'load_from' else dict(type='Pretrained', checkpoint=value)})
    assert error.startswith('error: ')
    assert '/no/such.pth' in error.splitlines()[0]


def test_finetuning_before_pretraining(train, images):
    for split in ('train', 'val'):
        write(images / split / 'a' / '0.jpg', np.zeros((64, 64, 3), np.uint8))
    settings = {'val_dataloader.dataset.data_root': str(images), 'train_dataloader.batch_size': 1}
    checkpoint = {'model.backbone.init_cfg.checkpoint': 'work_dirs/none/epoch_40.pth'}
    error, _ = train(config=FINETUNING, **settings, **checkpoint)
    assert error.startswith('error: there is no checkpoint work_dirs/none/epoch_40.pth')


@pytest.fixture
def foreign(tmp_path):
    """Write a checkpoint of another model."""
    path = tmp_path / 'resnet.pth'
    torch.save(dict(state_dict={'conv1.weight': torch.zeros(4, 3, 3, 3), 'bn1.weight': torch.ones(4)}), path)
    return str(path)


def test_a_checkpoint_of_another_model_to_start_from(train, foreign):
    error, _ = train(load_from=foreign)
    assert error.startswith('error: this checkpoint is of another model: of the ')
    assert 'the checkpoint has 2 tensors, for one: conv1.weight' in error


def test_a_checkpoint_of_another_model_as_the_encoder(train, foreign):
    error, _ = train(**{'model.backbone.init_cfg': dict(type='Pretrained', checkpoint=foreign)})
    assert error.startswith(
        f'error: {foreign} does not go with this MixMIMSwin: no name ends in patch_embed.proj.weight or patch_embed.pro'
    )


def test_gray_images_for_a_model_of_three_channels(train, images, tmp_path):
    for path in images.iterdir():
        write(path, np.asarray(Image.open(path).convert('L')))
    error, _ = train()
    assert not error
    assert trained(tmp_path)


def test_one_channel_for_a_model_of_three(train):
    pipeline = Config.fromfile(MICRO).train_pipeline
    pipeline[1].mode = 'L'
    error, _ = train(**{'train_dataloader.dataset.pipeline': pipeline})
    assert error.startswith(
        'error: images have 1 channels, but mean and std are for 3: load them with 3 channels or change mean and std'
    )


def test_fewer_images_than_a_batch(train):
    error, _ = train(**{'train_dataloader.batch_size': 10})
    assert error.startswith(
        'error: 8 images do not fill one batch of 10 for each of 1 process(es), and drop_last leaves out what is less'
    )
