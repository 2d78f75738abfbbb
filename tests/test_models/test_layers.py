"""Stochastic depth, and the lean two-layer MLP."""

import pytest
import torch
import torch.nn.utils.prune
from torch import nn
from torch.nn import functional as F

from mixmae_mm.models.utils.layers import DropPath, GeluLinear, Mlp, PatchEmbed


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
    with pytest.raises(ValueError, match=f'^rate must be a number, 0 or more and below 1, got {rate}$'):
        DropPath(rate)


def test_lean_gelu_and_linear_layer():
    hidden, weight, bias = torch.randn(2, 3, 5), torch.randn(4, 5), torch.randn(4)
    inputs = [x.double().requires_grad_() for x in (hidden, weight, bias)]
    assert torch.equal(GeluLinear.apply(*inputs), F.linear(F.gelu(inputs[0]), *inputs[1:]))
    assert torch.autograd.gradcheck(GeluLinear.apply, inputs)
    assert torch.autograd.gradgradcheck(GeluLinear.apply, inputs)


def replace_layer(mlp):
    mlp.fc2 = nn.Sequential(nn.Linear(10, 6))


def replace_activation(mlp):
    mlp.act = nn.ReLU()


def hook(mlp):
    mlp.fc2.register_forward_hook(lambda module, args, out: out + 1)


CHANGES = dict(
    layer=replace_layer,
    activation=replace_activation,
    hook=hook,
    norm=lambda mlp: torch.nn.utils.parametrizations.weight_norm(mlp.fc2),
    pruning=lambda mlp: torch.nn.utils.prune.l1_unstructured(mlp.fc2, 'weight', 0.5),
)


@pytest.mark.parametrize('change', CHANGES.values(), ids=CHANGES.keys())
def test_what_others_put_into_an_mlp_works_in_training_too(change):
    mlp, x = Mlp(6, 10), torch.randn(2, 6)
    change(mlp)
    assert torch.equal(mlp.train()(x), mlp.eval()(x))


@pytest.mark.parametrize('half', [False, True])
def test_an_mlp_in_training_does_as_in_evaluation(half):
    mlp, x = Mlp(6, 10), torch.randn(3, 7, 6)
    results = []
    for training in (True, False):
        with torch.autocast('cpu', torch.bfloat16, enabled=half):
            out = mlp.train(training)(x)
        results.append([out, *torch.autograd.grad(out.float().square().sum(), list(mlp.parameters()))])
    for one, other in zip(*results, strict=True):
        assert one.dtype == other.dtype
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-5 if not half else 2e-2)


@pytest.mark.parametrize('size', [(32, 48), (35, 33)])  # of patches of 8; what is left over is cut
@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_patches_are_embedded_alike_in_half_precision(size, dtype):
    embed, images = PatchEmbed(8, 3, 16), torch.randn(2, 3, *size, requires_grad=True)
    found = []
    for half in (False, True):
        with torch.autocast('cpu', dtype, enabled=half):
            tokens = embed(images)
        grads = torch.autograd.grad((tokens * tokens.detach().cos()).sum(), [images, *embed.parameters()])
        found.append([tokens.detach(), *grads])
    assert found[1][0].shape == (2, 4, size[1] // 8, 16)
    for single, halved in zip(*found, strict=True):
        assert (halved.float() - single).norm() < 0.02 * single.norm()


def test_patches_in_half_precision_are_what_the_convolution_gives():
    embed, images = PatchEmbed(8, 3, 16, norm=False).bfloat16(), torch.randn(2, 3, 32, 48).bfloat16()
    own = embed(images)
    called = []
    embed.proj.register_forward_hook(lambda *_: called.append(1))  # now the convolution itself is taken
    torch.testing.assert_close(own, embed(images), rtol=0.01, atol=0.01)
    assert called


@pytest.mark.parametrize('settings', [dict(stride=4, padding=2), dict(kernel_size=7, stride=4, padding=3)])
def test_another_convolution_in_the_place_of_ours_is_called(settings):
    embed, images = PatchEmbed(4, 3, 8, norm=False), torch.randn(2, 3, 32, 32)
    embed.proj = nn.Conv2d(3, 8, **{'kernel_size': 4, **settings})
    expected = embed(images)
    with torch.autocast('cpu', torch.bfloat16):
        torch.testing.assert_close(embed(images).float(), expected, rtol=0.05, atol=0.05)


def test_a_way_of_its_own_that_somebody_gave_our_convolution_is_taken():
    embed, called = PatchEmbed(4, 3, 8, norm=False).bfloat16(), []
    own = embed.proj.forward
    embed.proj.forward = lambda x: (called.append(1), own(x))[1]  # as libraries that move weights do
    embed(torch.randn(1, 3, 8, 8).bfloat16())
    assert called
