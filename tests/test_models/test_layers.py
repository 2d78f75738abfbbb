"""Stochastic depth."""

import pytest
import torch

from mixmae_mm.models.utils.layers import DropPath


def test_whole_samples_are_dropped_and_the_rest_scaled_up():
    branch = DropPath(0.25).train()(torch.ones(20000, 2, 3))
    kept = branch[:, 0, 0] > 0
    assert torch.equal(branch, torch.where(kept[:, None, None], 1 / 0.75, 0.0).expand(-1, 2, 3))
    assert kept.float().mean().item() == pytest.approx(0.75, abs=0.015)  # standard deviation 0.003
    assert torch.equal(DropPath(0.9).eval()(branch), branch)
