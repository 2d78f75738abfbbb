"""projects/example: another repository that inherits our configs and adds a backbone."""

import os

import pytest
import torch
from metafiles import ROOT
from micro_training import finish, make_images, tool
from mmengine.config import Config

from mixmae_mm.registry import MODELS

EXAMPLE = ROOT / 'projects' / 'example'
INHERITED = ROOT / 'configs/mixmae/mixmae_mixmim-swin-micro_1xb64-coslr-40e_materials-64px.py'


@pytest.fixture(scope='module', autouse=True)
def shown_to_mmengine():
    """Inheritance by package goes through `.mim`, which any way of installing makes."""
    if not (ROOT / 'mixmae_mm/.mim/model-index.yml').exists():
        pytest.skip('this package is not installed: pip install -e .')


def plain(node):
    """Leave out the scopes that mmengine notes in what is inherited from another package."""
    if isinstance(node, dict):
        return {key: plain(value) for key, value in node.items() if key != '_scope_'}
    return [plain(value) for value in node] if isinstance(node, list | tuple) else node


def test_the_variant_is_ours_with_four_sources():
    variant = EXAMPLE / 'configs/mixmae_four-sources.py'
    expected = plain(Config.fromfile(INHERITED).to_dict())
    expected['model']['data_preprocessor']['num_sources'] = 4
    assert plain(Config.fromfile(variant).to_dict()) == expected
    assert len(variant.read_text().splitlines()) <= 5


def test_its_backbone_keeps_sources_apart(monkeypatch):
    monkeypatch.setenv('PYTHONPATH', os.pathsep.join([str(EXAMPLE), os.environ.get('PYTHONPATH', '')]))
    finish(tool('analysis_tools/check_encoder.py', EXAMPLE / 'configs/mixmae_cell-mixer.py'))  # exits 1 where it leaks
    monkeypatch.syspath_prepend(EXAMPLE)
    encoder = MODELS.build(Config.fromfile(EXAMPLE / 'configs/mixmae_cell-mixer.py').model.backbone)
    images, one_source = torch.randn(2, 3, 64, 64), torch.zeros(1, 4, 4, dtype=torch.int64)
    torch.testing.assert_close(encoder(images, one_source), encoder(images))


@pytest.mark.parametrize('name', ['cell-mixer', 'four-sources'])
def test_it_trains(tmp_path, monkeypatch, name):
    monkeypatch.setenv('PYTHONPATH', os.pathsep.join([str(EXAMPLE), os.environ.get('PYTHONPATH', '')]))
    make_images(tmp_path / 'images')
    loader = ['batch_size=16', 'num_workers=0', 'persistent_workers=False', f'dataset.data_root={tmp_path}/images']
    options = [*(f'train_dataloader.{setting}' for setting in loader), 'train_cfg.max_epochs=5']
    config = EXAMPLE / f'configs/mixmae_{name}.py'
    finish(tool('train.py', config, '--work-dir', tmp_path / 'run', '--cfg-options', *options))
    saved = torch.load(tmp_path / 'run/epoch_5.pth', weights_only=False)
    assert saved['meta']['iter'] == 10
    moved = [state for state in saved['optimizer']['state'].values() if state['exp_avg'].any()]
    assert len(moved) == len(saved['optimizer']['state']) > 20
    assert ('backbone.blocks.3.tokens.0.weight' in saved['state_dict']) == (name == 'cell-mixer')
