"""Fine-tuning takes the files that pre-training takes."""

from pathlib import Path

from mmengine.config import Config

from mixmae_mm.datasets import EXTENSIONS

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
