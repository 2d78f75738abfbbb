import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.hooks import RuntimeInfoHook
from mmengine.runner.priority import get_priority

from mixmae_mm.hooks import IterationSeedHook


def draws(iteration=3, rank=0, seed=0, batch=None, stage='train'):
    """Seed by the hook; a number from each generator."""
    runner = SimpleNamespace(seed=seed, rank=rank, iter=iteration)
    batch = iteration if batch is None else batch
    getattr(IterationSeedHook(), f'before_{stage}_iter')(runner, batch_idx=batch, data_batch=None)
    return random.random(), np.random.rand(), torch.rand(()).item()


def test_an_iteration_draws_the_same_whatever_was_drawn_before():
    first = draws()
    for noise in (random.random, np.random.rand, lambda: torch.rand(5)):
        noise()
    assert draws() == first
    # The batch counts from the epoch's start, the iteration from the run's: a resumed epoch must not matter.
    assert draws(batch=0) == first


@pytest.mark.parametrize('other', [dict(iteration=4), dict(rank=1), dict(seed=1), dict(stage='val')])
def test_every_generator_draws_differently_elsewhere(other):
    assert all(one != two for one, two in zip(draws(), draws(**other), strict=True))


@pytest.mark.parametrize('stage', ['val', 'test'])
def test_evaluation_draws_the_same_in_every_epoch(stage):
    assert draws(iteration=10, batch=2, stage=stage) == draws(iteration=20, batch=2, stage=stage)
    assert draws(iteration=10, batch=2, stage=stage) != draws(iteration=10, batch=3, stage=stage)


def test_seeding_comes_before_every_other_hook():
    assert get_priority(IterationSeedHook.priority) < get_priority(RuntimeInfoHook.priority)
