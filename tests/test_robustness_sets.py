"""The test configs for ImageNet-A, -C, -R and -Sketch: on toy folders they give the accuracies that can be counted."""

import os

import numpy as np
import pytest
import torch
from metafiles import parameters
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from PIL import Image
from quick_runs import make_runs_quick
from shipped_configs import ROOT, build_model, from_file, read

from mixmae_mm.engine.checks.config import check_config
from mixmae_mm.engine.checks.loaders import open_loaders
from mixmae_mm.engine.hooks import ClassSubsetHook
from mixmae_mm.evaluation import CorruptionError
from mixmae_mm.evaluation.corruption_error import ALEXNET

FAMILIES = {'mixmim-swin-base-w14': 'w14_8xb128-amp-coslr-100e_in1k', 'vit-base-p16': 'p16_8xb128-amp-coslr-100e_in1k'}
FAVORED, SECOND = 5, 7  # labels that the toy classifier always prefers


@pytest.fixture(autouse=True)
def scope():
    make_runs_quick()
    init_default_scope('mmpretrain')


def write(folder, classes, **counts):
    """Write class folders with so many images in some of them."""
    pixels = np.zeros((32, 32, 3), np.uint8)
    for label in range(classes):
        (folder / f'n{label:04}').mkdir(parents=True)
        for number in range(counts.get(f'n{label}', 0)):
            Image.fromarray(pixels).save(folder / f'n{label:04}' / f'{number}.png')


def toy(name, folder, favored):
    """Make a config small, and write a checkpoint of a classifier of 1000 classes that prefers one, then another."""
    config = read(f'classification/{name}.py')
    config.model.backbone.update(arch=dict(embed_dims=8, depth=1, num_heads=2), patch_size=32, init_cfg=None)
    config.model.head.in_channels = 8
    config.work_dir = str(folder / 'work')
    config.load_from = str(folder / 'checkpoint.pth')
    config.test_dataloader.update(pin_memory=False, num_workers=0, persistent_workers=False, batch_size=64)
    bias = torch.zeros(1000)
    bias[list(favored)] = torch.arange(len(favored), 0, -1.0)
    state = {'head.fc.weight': torch.zeros(1000, 8), 'head.fc.bias': bias}
    model = Runner.build_model(None, config.model)
    torch.save(dict(state_dict=model.state_dict() | state), config.load_from)
    return config


def measured(config):
    """Test as tools/test.py does."""
    assert check_config(config, ('test',)).refuse() == []
    runner = Runner.from_cfg(config)
    open_loaders(runner, 'test')
    return runner.test()


@pytest.mark.parametrize('name', ['a', 'r'])
def test_of_all_classes_only_those_of_the_set_are_given(name, tmp_path):
    """The class preferred is not in the set; of those in it another is, which is right for 4 of 203 images."""
    labels = from_file(ROOT / f'_base_/datasets/imagenet_{name}.py').custom_hooks[0].labels
    config = toy(f'vit-base-p16_imagenet-{name}', tmp_path, [0, labels[SECOND]])
    write(tmp_path / 'set', 200, **{f'n{label}': 4 if label == SECOND else 1 for label in range(200)})
    config.test_dataloader.dataset.data_root = str(tmp_path / 'set')
    assert 0 not in labels
    assert measured(config)['accuracy/top1'] == pytest.approx(100 * 4 / 203)


def test_sketches_are_of_all_classes(tmp_path):
    config = toy('vit-base-p16_imagenet-sketch', tmp_path, [FAVORED])
    write(tmp_path / 'set', 1000, n5=3, n9=1)
    config.test_dataloader.dataset.data_root = str(tmp_path / 'set')
    assert measured(config)['accuracy/top1'] == 75


def test_corruptions_are_weighed_by_alexnets_errors(tmp_path):
    config = toy('vit-base-p16_imagenet-c', tmp_path, [FAVORED])
    write(tmp_path / 'good', 1000, n5=3, n9=1)
    write(tmp_path / 'bad', 1000, n9=2)
    chosen = []
    for dataset in config.test_dataloader.dataset.datasets:
        corruption, severity = dataset.data_root.split('/')[-2:]
        if corruption in ('snow', 'fog') and severity in '12':
            dataset.data_root = str(tmp_path / f'set/{corruption}/{severity}')
            (tmp_path / f'set/{corruption}').mkdir(parents=True, exist_ok=True)
            os.symlink(tmp_path / ('bad' if (corruption, severity) == ('fog', '2') else 'good'), dataset.data_root)
            chosen.append(dataset)
    config.test_dataloader.dataset.datasets = chosen
    found = measured(config)
    assert found['accuracy/top1'] == pytest.approx(100 * 9 / 14)
    assert (found['corruption/snow'], found['corruption/fog']) == (25, 62.5)
    assert found['corruption/mce'] == pytest.approx(100 * (0.25 / 0.866816 + 0.625 / 0.819324) / 2)


@pytest.mark.parametrize('family', FAMILIES)
def test_the_sets_are_complete_and_the_classifier_is_that_of_imagenet(family):
    trained = read(f'classification/{family.rpartition("-")[0]}-{FAMILIES[family]}.py').model
    for name in ('a', 'c', 'r', 'sketch'):
        config = read(f'classification/{family}_imagenet-{name}.py')
        model, classes = build_model(config), 200 if name in ('a', 'r') else 1000
        assert (config.model.backbone, config.model.neck) == (trained.backbone, trained.neck)
        assert model.head.fc.out_features == config.model.data_preprocessor.num_classes == classes
        count = sum(parameter.numel() for parameter in model.parameters())
        assert count == parameters(ROOT / f'classification/{family}_imagenet-{name}.py')
        assert not config.train_dataloader
    roots = [one.data_root for one in read(f'classification/{family}_imagenet-c.py').test_dataloader.dataset.datasets]
    assert roots == [f'data/imagenet-c/{corruption}/{severity}' for corruption in ALEXNET for severity in range(1, 6)]
    for name in ('a', 'r'):
        labels = read(f'classification/{family}_imagenet-{name}.py').custom_hooks[0].labels
        assert len(labels) == 200
        assert labels == sorted({*labels} & {*range(1000)})


@pytest.mark.parametrize('state', [{}, {'head.fc.weight': torch.zeros(200, 8), 'head.fc.bias': torch.zeros(200)}])
def test_a_checkpoint_without_these_classes_is_refused(state):
    with pytest.raises(ValueError, match=r'^classes up to 988 .*which has '):
        ClassSubsetHook([6, 988]).after_load_checkpoint(None, dict(state_dict=state))


def test_images_outside_of_a_corruption_are_refused():
    sample = dict(img_path='data/imagenet/val/n01440764/x.jpg')
    with pytest.raises(ValueError, match=r'x\.jpg .*CORRUPTION/SEVERITY/CLASS'):
        CorruptionError().process(None, [sample])
