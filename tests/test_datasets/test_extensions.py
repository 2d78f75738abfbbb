"""Fine-tuning takes the files that pre-training takes."""

from pathlib import Path

from mmengine.config import Config

from mixmae_mm.datasets import EXTENSIONS

CONFIGS = Path(__file__).parents[2] / 'configs'
LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')


def test_all_configs_with_folders_of_classes_have_one_list():
    configs = map(Config.fromfile, CONFIGS.glob('classification/*.py'))
    datasets = [config[name].dataset for config in configs for name in LOADERS if config.get(name)]
    found = {(one.type, *one.extensions) for one in datasets if 'extensions' in one}
    assert found == {('mmpretrain.CustomDataset', *EXTENSIONS), ('mmpretrain.ImageNet', *EXTENSIONS)}
