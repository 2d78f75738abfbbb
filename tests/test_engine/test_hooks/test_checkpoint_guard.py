from types import SimpleNamespace

import pytest
import torch
from torch import nn

from mixmae_mm.engine.hooks import CheckpointGuardHook


def model(width=4, classes=2):
    return nn.ModuleDict(dict(backbone=nn.Linear(3, width), head=nn.Linear(width, classes)))


def guard(checkpoint, min_ratio=0.5):
    CheckpointGuardHook(min_ratio).after_load_checkpoint(SimpleNamespace(model=model()), checkpoint)


@pytest.mark.parametrize('prefix', ['', 'module.'])
def test_its_own_checkpoint_fits(prefix):
    own = {prefix + name: value for name, value in model().state_dict().items()}
    guard(dict(state_dict=own), min_ratio=1)
    own.popitem()
    with pytest.raises(ValueError, match='of the 4 tensors of ModuleDict only 3 are in it'):
        guard(dict(state_dict=own), min_ratio=1)


def test_another_head_fits_up_to_the_share_asked_for():
    other = dict(state_dict=model(classes=5).state_dict())
    guard(other)
    with pytest.raises(ValueError, match='of the 4 tensors of ModuleDict only 2 are in it'):
        guard(other, min_ratio=0.51)


def test_the_same_names_in_another_size_are_another_model():
    with pytest.raises(ValueError, match=r'only 1 are in it .*missing, for one: backbone.weight;') as raised:
        guard(dict(state_dict=model(width=9).state_dict()))
    assert 'this checkpoint is of another model' in str(raised.value)


def test_bare_weights_of_something_else_are_refused():
    with pytest.raises(ValueError, match='only 0 are in it .*the checkpoint has 1 tensors, for one: conv.weight'):
        guard({'conv.weight': torch.zeros(3)})


@pytest.mark.parametrize('min_ratio', [-0.1, 50, None])
def test_what_is_no_share_is_refused_at_the_start(min_ratio):
    with pytest.raises(ValueError, match=f"^min_ratio is a share of the model's tensors, 0 to 1, got {min_ratio}$"):
        CheckpointGuardHook(min_ratio)
