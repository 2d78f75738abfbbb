"""The configs of this repository and what they build, for all of their tests."""

import copy
import functools
import re
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from on_meta import on_meta

ROOT = Path(__file__).parents[1] / 'configs'
FILES = sorted(path for path in ROOT.rglob('*.py') if '_base_' not in path.parts)
TESTS = [path for path in FILES if '_imagenet-' in path.name]  # without training
OURS = [
    path for path in FILES if path.parent.name in ('mixmae', 'mixedae', 'mae', 'classification') and path not in TESTS
]
PRETRAINING = [path for path in OURS if path.parent.name != 'classification']
FINETUNING = [path for path in OURS if path.parent.name == 'classification']
MICRO = [path for path in OURS if 'micro' in path.name]
BATCH = re.compile(r'_(?P<gpus>\d+)xb(?P<batch>\d+)(-accu(?P<accumulation>\d+))?-')
EPOCHS = re.compile(r'-(\d+)e_')


def each(paths):
    return pytest.mark.parametrize('path', paths, ids=lambda path: path.stem)


@functools.cache
def from_file(path):
    """Read a config; with two classes if it takes their number from the folders."""
    config = Config.fromfile(path)
    for part in settings_with('num_classes', config._cfg_dict):
        part['num_classes'] = 2 if part['num_classes'] == 'auto' else part['num_classes']
    return config


def read(path):
    """Read a config, given its path below configs/; return a copy that a test may change."""
    return copy.deepcopy(from_file(ROOT / path))


def has_stock_encoder(config):
    """Return whether the encoder is another library's."""
    return not config.model.backbone.type.startswith('mixmae_mm.')


def need_library(config):
    """Skip the test if the library of a config's encoder is not installed, as with upstream OpenMMLab."""
    pytest.importorskip(config.model.backbone.type.partition('.')[0])


def without_weights(config):
    """Build without weights on `meta`, or on the CPU for libraries' encoders, which read values when built."""
    return on_meta('cpu' if has_stock_encoder(config) else 'meta')


def build_model(config, device='meta'):
    from mmpretrain.registry import MODELS

    need_library(config)
    with without_weights(config) if device == 'meta' else torch.device(device):
        return MODELS.build(config.model)


def build_optimizer(model, config):
    """Build the optimizer as tools/train.py does without a GPU."""
    settings = {name: value for name, value in config.optim_wrapper.items() if name != 'dtype'}
    return build_optim_wrapper(model, dict(settings, type='OptimWrapper'))


def settings_with(key, node):
    """Find every dict with a key, at any depth."""
    if isinstance(node, Mapping):
        if key in node:
            yield node
        node = node.values()
    if isinstance(node, (list, tuple)) or not isinstance(node, (str, int, float, type(None))):
        for value in node:
            yield from settings_with(key, value)


def check_decay(config, model):
    """Compare weight decay with MAE's rule: none for vectors, position embeddings and CLS tokens."""
    groups = build_optimizer(model, config).optimizer.param_groups
    found = {id(weight): group['weight_decay'] for group in groups for weight in group['params']}
    trained = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    spared = {n for n, w in trained.items() if w.ndim <= 1 or n.endswith(('pos_embed', 'cls_token'))}
    decay = config.optim_wrapper.optimizer.weight_decay
    assert {name: found[id(weight)] for name, weight in trained.items()} == {
        name: 0.0 if name in spared else decay for name in trained
    }
    assert ('backbone.pos_embed' in spared) == config.model.backbone.get('train_positions', False)
