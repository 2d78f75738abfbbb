"""Fine-tuning takes the files that pre-training takes."""

from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope
from PIL import Image

from mixmae_mm.datasets import EXTENSIONS, ImageFolder, SeededIndex

CONFIGS = Path(__file__).parents[2] / 'configs'
BY_EXTENSION = ('mmpretrain.CustomDataset', 'mmpretrain.ImageNet')


def loaders(config):
    return [config[name].dataset for name in ('train_dataloader', 'val_dataloader', 'test_dataloader')]


def test_all_configs_with_folders_of_classes_have_one_list():
    found = [
        dataset
        for path in CONFIGS.glob('classification/*.py')
        for dataset in loaders(Config.fromfile(path))
        if dataset.type in BY_EXTENSION
    ]
    assert {tuple(dataset.extensions) for dataset in found} == {EXTENSIONS}
    assert {dataset.type for dataset in found} == set(BY_EXTENSION)


@pytest.mark.parametrize('extension', ['.webp', '.JFIF', '.pbm'])
def test_a_folder_of_one_extension_is_read_by_both(tmp_path, extension):
    init_default_scope('mmpretrain')
    for split in ('train', 'val'):
        (tmp_path / split / 'a').mkdir(parents=True)
        image = Image.fromarray(np.zeros((8, 8, 3), np.uint8)).convert('1' if extension == '.pbm' else 'RGB')
        image.save(tmp_path / split / 'a/x.tmp', Image.registered_extensions()[extension.lower()])
        (tmp_path / split / 'a/x.tmp').rename(tmp_path / split / f'a/x{extension}')
    config = Config.fromfile(CONFIGS / '_base_/datasets/folder_finetune.py')
    for dataset in loaders(config)[:2]:
        built = DATASETS.build(dataset | dict(data_root=str(tmp_path)))
        assert [built.get_data_info(i)['img_path'] for i in range(len(built))] == [
            entry['img_path'] for entry in ImageFolder(tmp_path / dataset.data_prefix).data_list
        ]
        assert len(built) == 1
        assert built[SeededIndex(0, seed=1)]['inputs'].shape[0] == 3
