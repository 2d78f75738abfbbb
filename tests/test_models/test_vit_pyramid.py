"""ViTPyramid with output channels, which is ViTDet's simple feature pyramid, against its definition."""

import pytest
import torch
from torch.nn import functional as F

from mixmae_mm.models import ChannelNorm, ViTPyramid


@pytest.fixture
def pyramid():
    torch.manual_seed(0)
    neck = ViTPyramid(8, halve=True, out_channels=6)
    for parameter in neck.parameters():
        torch.nn.init.normal_(parameter)
    return neck


def norm(x, layer):
    """Normalize the channels of each place."""
    out = torch.empty_like(x)
    for b, y, z in torch.cartesian_prod(*(torch.arange(x.shape[axis]) for axis in (0, 2, 3))).tolist():
        place = x[b, :, y, z]
        deviation = (place.var(unbiased=False) + 1e-6).sqrt()
        out[b, :, y, z] = (place - place.mean()) / deviation * layer.weight + layer.bias
    return out


def test_each_map_goes_through_two_convolutions_with_norms(pyramid):
    x = torch.randn(2, 8, 4, 6)
    maps = pyramid([x])
    assert [tuple(one.shape[1:]) for one in maps] == [(6, 16, 24), (6, 8, 12), (6, 4, 6), (6, 2, 3), (6, 1, 2)]
    for level, inner in ((2, x), (3, F.max_pool2d(x, 2)), (1, pyramid.levels[1](x))):
        first, first_norm, second, second_norm = pyramid.outputs[level]
        narrow = norm(torch.einsum('bchw,dc->bdhw', inner, first.weight[:, :, 0, 0]), first_norm)
        expected = norm(F.conv2d(narrow, second.weight, padding=1), second_norm)
        torch.testing.assert_close(maps[level], expected, rtol=1e-3, atol=1e-4)
    assert torch.equal(maps[4], maps[3][:, :, ::2, ::2])


def test_norms_are_those_that_are_asked_for_and_what_cannot_be_is_refused():
    assert isinstance(ViTPyramid(8).levels[0][1], ChannelNorm)
    assert isinstance(ViTPyramid(8, norm_cfg=dict(type='SyncBN')).levels[0][1], torch.nn.SyncBatchNorm)
