"""The kernels for CPUs: right values and gradients, against loops and differences; used where they are meant to be."""

import pytest
import torch
from test_attention import SIZES, by_loops, draw

from mixmae_mm.models.utils.cpu_kernels import Logits, Rearrange, attend_segments
from mixmae_mm.models.utils.swin_layers import SwinStage


def test_gradients_against_differences():
    order = torch.tensor([2, 0, 3, 1])
    x, y = torch.randn(2, 2, 4, 3, dtype=torch.float64, requires_grad=True)
    assert torch.equal(Rearrange.apply(x, order, order.argsort()), x[:, order])
    for check in (torch.autograd.gradcheck, torch.autograd.gradgradcheck):
        assert check(lambda x: Rearrange.apply(x, order, order.argsort()), x)
        assert check(lambda x, y: Logits.apply(x, y, 0.3), (x, y))


def test_segments_and_their_gradients_against_loops():
    query, key, value, bias, _ = draw(1)
    places = [torch.tensor(one) for one in ([0, 2, 3], [1, 4], [4], [0, 1, 2, 3], [0, 1, 2, 3, 4])]  # of 3 windows
    windows = [0, 0, 1, 1, 2]
    keep = torch.zeros(1, 3, 5, 5, dtype=torch.bool)
    for window, segment in zip(windows, places, strict=True):
        keep[0, window, segment[:, None], segment] = True
    expected = by_loops(query, key, value, bias, keep)

    def in_order(x):
        return torch.cat([x[:, w, :, segment] for w, segment in zip(windows, places, strict=True)], dim=2)

    of_pairs = torch.cat([bias[:, segment[:, None], segment].flatten(1) for segment in places], dim=1)
    qkv = torch.stack([in_order(x) for x in (query, key, value)]).permute(1, 3, 0, 2, 4).flatten(2)
    before = qkv.detach().clone()
    got = attend_segments(qkv, SIZES['heads'], of_pairs, [len(segment) for segment in places])
    assert torch.equal(qkv, before)
    got, wanted = got.unflatten(2, (SIZES['heads'], -1)).transpose(1, 2), in_order(expected)
    torch.testing.assert_close(got, wanted, atol=1e-6, rtol=1e-5)
    weights = torch.randn_like(got)
    pairs = [torch.autograd.grad((x * weights).sum(), [query, key, value, bias]) for x in (got, wanted)]
    torch.testing.assert_close(*pairs, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize('segments', [[5, 3, 1], [9], [1] * 9])
def test_segments_in_half_precision_are_near_single(segments):
    torch.manual_seed(0)
    qkv, bias = torch.randn(2, 9, 3 * 8), torch.randn(2, sum(length**2 for length in segments))
    found = []
    for dtype in (torch.float32, torch.bfloat16):
        leaves = [qkv.to(dtype, copy=True).requires_grad_(), bias.clone().requires_grad_()]
        with torch.autocast('cpu', torch.bfloat16):  # which leaves what is handed over as it is
            out = attend_segments(leaves[0], 2, leaves[1], segments)
            assert out.dtype == dtype
            found.append([out, *torch.autograd.grad(out.float().square().sum(), leaves)])
    for single, half in zip(*found, strict=True):
        assert (half.float() - single).norm() < 0.02 * single.norm() + 1e-6


@pytest.mark.parametrize(('side', 'sortings'), [(8, 2), (10, 6)])  # windows of 4 fill a map of 10 up: in each block
def test_a_stage_sorts_its_tokens_once(monkeypatch, side, sortings):
    torch.manual_seed(0)
    stage = SwinStage(8, 2, [(4, 4)] * 3, [0.0] * 3, 2.0, with_cp=False, merge=False)
    x, labels = torch.randn(2, side, side, 8, requires_grad=True), torch.randint(0, 2, (1, side, side))
    calls, own = [], Rearrange.forward
    monkeypatch.setattr(Rearrange, 'forward', staticmethod(lambda *args: (calls.append(1), own(*args))[1]))
    sorted_, by_map = stage(x, labels, in_segments=True), stage(x, labels)
    assert len(calls) == sortings
    torch.testing.assert_close(sorted_, by_map, atol=1e-6, rtol=1e-5)
    grads = [torch.autograd.grad(out.square().sum(), [x, *stage.parameters()]) for out in (sorted_, by_map)]
    torch.testing.assert_close(*grads, atol=1e-5, rtol=1e-4)
