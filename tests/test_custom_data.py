"""docs/data.md and docs/finetune.md: their configs train, and their functions do what is said of them."""

import re
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, MODELS, init_default_scope
from mmengine.runner import Runner
from PIL import Image

from mixmae_mm import registry
from mixmae_mm.datasets import SeededIndex
from mixmae_mm.engine.checks import check_config, fill_num_classes

ROOT = Path(__file__).parents[1]
BLOCKS = re.findall(r'```python\n(.*?)```', (ROOT / 'docs/data.md').read_text(), re.DOTALL)


@pytest.fixture
def config(tmp_path):
    """The page's config, of a small encoder, for eight files in the page's two formats."""
    (text,) = (block for block in BLOCKS if block.startswith('_base_'))
    path = tmp_path / 'multispectral.py'
    path.write_text(text.replace("'./", f"'{ROOT}/configs/mixmae/"))
    config = Config.fromfile(path)
    assert config.train_dataloader.dataset.extensions == ['.tif', '.npy']
    for number in range(8):
        pixels = np.random.default_rng(number).integers(0, 4000, (40, 50, 5), dtype=np.uint16)
        np.save(tmp_path / f'{number}.npy', pixels.astype(np.float32) if number % 2 else pixels)
    config.train_dataloader.dataset.data_root = str(tmp_path)
    config.train_dataloader.update(batch_size=4, num_workers=0, persistent_workers=False)
    config.model.backbone.arch = dict(embed_dims=8, depths=(1, 1, 1, 1), num_heads=(1, 1, 2, 2))
    config.model.neck.update(in_channels=64, embed_dims=16, depth=1, num_heads=2)
    return config


def test_five_channels_train(config):
    init_default_scope('mmpretrain')
    batches = list(Runner.build_dataloader(config.train_dataloader, seed=0))
    assert len(batches) == 2
    inputs = torch.cat([batch['inputs'] for batch in batches])
    assert (inputs.shape, inputs.dtype) == ((8, 5, 224, 224), torch.float32)
    assert 1900 < inputs.mean() < 2100
    model = MODELS.build(config.model)
    losses = model(**model.data_preprocessor(batches[0], training=True), mode='loss')
    losses['loss_reconstruction'].backward()
    assert torch.isfinite(losses['loss_reconstruction'])
    assert model.backbone.patch_embed.proj.weight.grad.abs().amax(dim=(0, 2, 3)).min() > 0


def test_weights_of_speckle_and_of_masks(tmp_path):
    (code,) = (block for block in BLOCKS if 'SpeckleWeights' in block)
    (text,) = (block for block in BLOCKS if 'LoadWeights' in block)
    registry.MODELS.module_dict.pop('SpeckleWeights', None)
    exec(code, {})
    images = torch.rand(2, 1, 8, 8) * 100
    images[0, 0, 0, 0], images[0, 0, 0, 1:3] = 1000.0, torch.tensor([500.0, 0.0])
    weights = MODELS.build(dict(type='mixmae_mm.SpeckleWeights'))(images)
    del registry.MODELS.module_dict['SpeckleWeights']  # other tests run the page, too
    assert weights.shape == (2, 1, 8, 8)
    assert (weights[0, 0, 0, :3] / weights[0, 0, 0, 0]).tolist() == pytest.approx([1, 2, 10])
    for folder in ('images', 'masks'):
        (tmp_path / folder).mkdir()
        pixels = np.full((60, 80, 3) if folder == 'images' else (60, 80), 200, np.uint8)
        Image.fromarray(pixels).save(tmp_path / folder / 'a.png')
    config = Config.fromstring(text.replace('/your', str(tmp_path)), '.py')
    init_default_scope('mmpretrain')
    dataset = DATASETS.build(dict(config.train_dataloader.dataset, type='mixmae_mm.ImageFolder'))
    batch = dict(inputs=torch.stack([dataset[SeededIndex(0, seed)]['inputs'] for seed in (1, 2)]))
    settings = dict(type='mixmae_mm.MixingDataPreprocessor', **config.model.data_preprocessor)
    assert (MODELS.build(settings)(batch, training=True)['inputs'].weights == 200).all()


def test_one_folder_is_split_by_mmpretrain(tmp_path):
    page = (ROOT / 'docs/finetune.md').read_text()
    text = textwrap.dedent(re.search(r'^    _base_ = .*?\n(?=\S)', page, re.DOTALL | re.MULTILINE)[0])
    assert 'KFoldDataset' in text
    path = tmp_path / 'split.py'
    text = text.replace("'./", f"'{ROOT}/configs/classification/").replace('/your/folder', str(tmp_path / 'all'))
    path.write_text(text)
    for number in range(20):
        image = tmp_path / f'all/class{number % 4}/{number}.png'
        image.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(image)
    config = Config.fromfile(path)
    fill_num_classes(config)
    assert config.model.head.num_classes == 4
    assert check_config(config, ('train', 'val')).refuse() == []
    init_default_scope('mmpretrain')
    parts = [DATASETS.build(config[f'{split}_dataloader'].dataset) for split in ('train', 'val', 'test')]
    train, val, test = ({one.get_data_info(i)['img_path'] for i in range(len(one))} for one in parts)
    assert (len(train), len(val), train & val, val) == (16, 4, set(), test)
    assert {part.metainfo['classes'] for part in parts} == {('class0', 'class1', 'class2', 'class3')}


def test_the_config_for_oblong_images_fits_together():
    (text,) = (block for block in BLOCKS if 'grid_size' in block)
    settings = {}
    exec(text, settings)
    model = settings['model']
    assert tuple(side // 32 for side in model['backbone']['img_size']) == model['neck']['grid_size']
