"""Stochastic depth and the two-layer MLP."""

import pytest
import torch
from torch.nn import functional as F

from mixmae_mm.models.utils.layers import DropPath, Mlp


def test_whole_samples_are_dropped_and_the_rest_scaled_up():
    branch = DropPath(0.25).train()(torch.ones(20000, 2, 3))
    kept = branch[:, 0, 0] > 0
    assert torch.equal(branch, torch.where(kept[:, None, None], 1 / 0.75, 0.0).expand(-1, 2, 3))
    assert kept.float().mean().item() == pytest.approx(0.75, abs=0.015)  # standard deviation 0.003
    assert torch.equal(DropPath(0.9).eval()(branch), branch)


def test_an_mlp_has_an_exact_gelu():
    mlp, x = Mlp(6, 10), torch.randn(3, 7, 6)
    hidden = F.linear(x, mlp.fc1.weight, mlp.fc1.bias)
    hidden = hidden * 0.5 * (1 + torch.erf(hidden / 2**0.5))
    torch.testing.assert_close(mlp.train()(x), F.linear(hidden, mlp.fc2.weight, mlp.fc2.bias))
