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
def test_its_own_checkpoint_fits_and_another_head_up_to_the_share(prefix):
    own = {prefix + name: value for name, value in model().state_dict().items()}
    guard(dict(state_dict=own), min_ratio=1)
    guard(dict(state_dict=model(classes=5).state_dict()))
    own.popitem()
    with pytest.raises(ValueError, match='4 tensors of ModuleDict only 3 '):
        guard(dict(state_dict=own), min_ratio=1)


@pytest.mark.parametrize(
    ('checkpoint', 'fitting'), [(dict(state_dict=model(width=9).state_dict()), 1), ({'conv.weight': torch.zeros(3)}, 0)]
)
def test_another_model_is_refused_also_with_the_same_names(checkpoint, fitting):
    with pytest.raises(ValueError, match=rf'only {fitting} .*missing, .*: backbone\.weight;'):
        guard(checkpoint)


def test_what_is_no_share_is_refused_at_the_start():
    with pytest.raises(ValueError, match='0 to 1, got 50'):
        CheckpointGuardHook(50)
