import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.hooks import RuntimeInfoHook
from mmengine.runner.priority import get_priority

from mixmae_mm.engine.hooks import IterationSeedHook
from mixmae_mm.utils.seed import fold, seed_cpu, seed_everything


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


def test_draws_are_those_of_the_positions_written_out():
    """In every version: numbers seen while training or validating can be had again, the latter in any epoch."""
    train, val = draws(10, rank=3, seed=7), draws(20, rank=3, seed=7, batch=2, stage='val')
    assert train[0] == random.Random(fold(7, 3, 10)).random()
    assert val[0] == random.Random(fold(7, 3, 2, 1)).random()


def test_seeding_comes_before_every_other_hook():
    assert get_priority(IterationSeedHook.priority) < get_priority(RuntimeInfoHook.priority)


@pytest.mark.parametrize('seed', [0, 2**32 - 1])
@pytest.mark.parametrize('high', [0, 2**62])
@pytest.mark.parametrize('give', [seed_everything, seed_cpu])
def test_every_generator_gets_the_seed_and_numpy_as_much_as_it_takes(give, seed, high):
    """numpy's global generator takes 32 bits, the others all of them."""
    give(seed + high)
    assert random.random() == random.Random(seed + high).random()
    assert np.random.rand() == np.random.RandomState(seed).rand()
    assert torch.initial_seed() == seed + high  # of which a GPU's generator takes all bits, a CPU's the lower half
    assert torch.rand(()) == torch.rand((), generator=torch.Generator().manual_seed(seed + high))


def test_a_fold_is_what_numpy_spreads_the_numbers_into():
    words = np.random.SeedSequence((7, 3, 5)).generate_state(2, np.uint32)
    assert fold(7, 3, 5) == (int(words[1]) << 32 | int(words[0])) >> 1
    with pytest.raises(ValueError, match='must not be negative'):
        fold(3, 0, -5)
