"""Stochastic depth."""

import pytest
import torch

from mixmae_mm.models.layers import DropPath


def test_whole_samples_are_dropped_and_the_rest_scaled_up():
    branch = DropPath(0.25).train()(torch.ones(20000, 2, 3))
    kept = branch[:, 0, 0] > 0
    assert torch.equal(branch, torch.where(kept[:, None, None], 1 / 0.75, 0.0).expand(-1, 2, 3))
    # standard deviation 0.003
    assert kept.float().mean().item() == pytest.approx(0.75, abs=0.015)


def test_outside_training_nothing_is_dropped():
    x = torch.randn(8, 2)
    assert torch.equal(DropPath(0.9).eval()(x), x)


@pytest.mark.parametrize('rate', [-0.1, 1.0])
def test_impossible_rates_are_refused(rate):
    with pytest.raises(ValueError, match=rf'a drop path rate lies in \[0, 1\), got {rate}'):
        DropPath(rate)
