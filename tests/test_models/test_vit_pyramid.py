"""ViTPyramid: rescaled maps, and with output channels ViTDet's simple feature pyramid, against their definitions."""

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


def test_a_map_is_rescaled():
    torch.manual_seed(0)
    neck = ViTPyramid(8, halve=True)
    x = torch.randn(2, 8, 5, 6)
    levels = neck([x])
    assert [tuple(level.shape) for level in levels] == [(2, 2, 20, 24), (2, 4, 10, 12), (2, 8, 5, 6), (2, 8, 3, 3)]
    assert torch.equal(levels[2], x)
    assert torch.equal(levels[3][:, :, 2, 0], x[:, :, 4, :2].amax(dim=2))
    weight, bias = neck.levels[1].weight, neck.levels[1].bias
    by_hand = torch.einsum('bc,cd->bd', x[:, :, 1, 2], weight[:, :, 1, 0]) + bias
    torch.testing.assert_close(levels[1][:, :, 3, 4], by_hand)


def test_each_scale_may_have_a_map_of_its_own():
    neck = ViTPyramid(4, scales=(2, 1))
    maps = [torch.randn(1, 4, 3, 3) for _ in range(2)]
    assert torch.equal(neck(maps)[0], neck.levels[0](maps[0]))
    assert torch.equal(neck(maps)[1], maps[1])
    with pytest.raises(ValueError, match='3 maps for 2 scales: set out_indices'):
        neck(maps + maps[:1])
