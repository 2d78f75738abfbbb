"""Attention in windows, both kernels, against loops written out."""

import pytest
import torch

from mixmae_mm.models.utils import attention
from mixmae_mm.models.utils.attention import Attention, attend
from mixmae_mm.models.utils.varlen_attention import attend_segments

SIZES = dict(images=2, windows=3, heads=2, tokens=5, dims=4)


def draw(keep_of):
    images, windows, heads, tokens, dims = SIZES.values()
    query, key, value = torch.randn(3, images, windows, heads, tokens, dims, requires_grad=True).unbind(0)
    bias = torch.randn(heads, tokens, tokens, requires_grad=True)
    keep = (torch.rand(keep_of, windows, tokens, tokens) < 0.4) | torch.eye(tokens, dtype=torch.bool)
    return query, key, value, bias, keep


def by_loops(query, key, value, bias, keep):
    out = torch.zeros_like(query)
    for b, w, s, t in torch.cartesian_prod(*(torch.arange(n) for n in query.shape[:4])).tolist():
        kept = keep[b if len(keep) > 1 else 0, w, t].nonzero().flatten()
        logits = key[b, w, s, kept] @ query[b, w, s, t] * query.shape[-1] ** -0.5 + bias[s, t, kept]
        out[b, w, s, t] = logits.softmax(0) @ value[b, w, s, kept]
    return out


@pytest.mark.parametrize('fused', [True, False])
@pytest.mark.parametrize('keep_of', [1, 2], ids=['shared map', 'map for each image'])
def test_masked_attention_and_its_gradients_against_loops(monkeypatch, fused, keep_of):
    monkeypatch.setattr(attention, 'prefers_fused', lambda query, joined: fused)
    query, key, value, bias, keep = draw(keep_of)
    expected = by_loops(query, key, value, bias, keep)
    got = attend(query, key, value, bias, keep)
    torch.testing.assert_close(got, expected, atol=1e-6, rtol=1e-5)
    weights = torch.randn_like(got)
    wanted = torch.autograd.grad((expected * weights).sum(), [query, key, value, bias])
    found = torch.autograd.grad((got * weights).sum(), [query, key, value, bias])
    for ours, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize('fused', [True, False])
def test_without_a_map_all_keys_are_seen(monkeypatch, fused):
    monkeypatch.setattr(attention, 'prefers_fused', lambda query, joined: fused)
    query, key, value, bias, keep = draw(1)
    expected = by_loops(query, key, value, bias, torch.ones_like(keep))
    torch.testing.assert_close(attend(query, key, value, bias), expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize('fused', [True, False])
def test_attention_keeps_the_type_of_the_query(monkeypatch, fused):
    """Biases are parameters in float32: joined with the map, (B, W, S, T, T), twice the memory unless cast."""
    types = []
    monkeypatch.setattr(attention, 'prefers_fused', lambda query, joined: types.append(joined.dtype) or fused)
    query, key, value, bias, keep = draw(1)
    query, key, value = (x.detach().bfloat16() for x in (query, key, value))
    for kept in (keep, None):
        out = attend(query, key, value, bias.detach(), kept)
        assert out.dtype == types.pop() == torch.bfloat16
        seen = torch.ones_like(keep) if kept is None else keep
        expected = by_loops(query.float(), key.float(), value.float(), bias, seen)
        torch.testing.assert_close(out.float(), expected, atol=0.05, rtol=0.05)


@pytest.mark.parametrize('fused', [True, False])
def test_half_precision_keeps_masked_keys_out(monkeypatch, fused):
    monkeypatch.setattr(attention, 'prefers_fused', lambda query, joined: fused)
    query, key, value, bias, keep = draw(1)
    halves = [x.detach().bfloat16() for x in (query, key, value)]
    other = halves[2].clone()
    other[:, 0, :, 1:] = 100
    keep[:, 0, 0] = torch.tensor([True, False, False, False, False])
    first, second = (attend(*halves[:2], v, bias, keep)[:, 0, :, 0] for v in (halves[2], other))
    assert torch.equal(first, second)


def test_runs_and_their_gradients_against_loops():
    query, key, value, bias, _ = draw(1)
    places = [torch.tensor(run) for run in ([0, 2, 3], [1, 4], [4], [0, 1, 2, 3], [0, 1, 2, 3, 4])]  # of 3 windows
    windows = [0, 0, 1, 1, 2]
    keep = torch.zeros(1, 3, 5, 5, dtype=torch.bool)
    for window, run in zip(windows, places, strict=True):
        keep[0, window, run[:, None], run] = True
    expected = by_loops(query, key, value, bias, keep)
    sorted_ = [
        torch.cat([x[:, w, :, run] for w, run in zip(windows, places, strict=True)], 2) for x in (query, key, value)
    ]
    of_pairs = torch.cat([bias[:, run[:, None], run].flatten(1) for run in places], dim=1)
    qkv = torch.stack(sorted_).permute(1, 3, 0, 2, 4).flatten(2)
    got = attend_segments(qkv, SIZES['heads'], of_pairs, [len(run) for run in places])
    got = got.unflatten(2, (SIZES['heads'], -1)).transpose(1, 2)
    wanted = torch.cat([expected[:, w, :, run] for w, run in zip(windows, places, strict=True)], 2)
    torch.testing.assert_close(got, wanted, atol=1e-6, rtol=1e-5)
    weights = torch.randn_like(got)
    pairs = [torch.autograd.grad((x * weights).sum(), [query, key, value, bias]) for x in (got, wanted)]
    for ours, theirs in zip(*pairs, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize('runs', [[5, 3, 1], [9], [1] * 9])
def test_runs_in_half_precision_are_near_single(runs):
    torch.manual_seed(0)
    qkv, bias = torch.randn(2, 9, 3 * 8), torch.randn(2, sum(length**2 for length in runs))
    found = []
    for dtype in (torch.float32, torch.bfloat16):
        leaves = [qkv.to(dtype, copy=True).requires_grad_(), bias.clone().requires_grad_()]
        with torch.autocast('cpu', torch.bfloat16):  # which leaves what is handed over as it is
            out = attend_segments(leaves[0], 2, leaves[1], runs)
            assert out.dtype == dtype
            found.append([out, *torch.autograd.grad(out.float().square().sum(), leaves, retain_graph=True)])
        outside = torch.autograd.grad(out.float().square().sum(), leaves)
        for within, without in zip(found[-1][1:], outside, strict=True):
            torch.testing.assert_close(within, without)
    for single, half in zip(*found, strict=True):
        assert (half.float() - single).norm() < 0.02 * single.norm() + 1e-6


def test_what_is_attended_by_runs_is_left_as_it_was():
    qkv = torch.randn(2, 3, 3 * 4)
    before = qkv.clone()
    attend_segments(qkv, 1, torch.zeros(1, 3), [1, 1, 1])
    assert torch.equal(qkv, before)


def test_a_second_derivative_of_runs_is_refused():
    qkv = torch.randn(1, 3, 3 * 4, requires_grad=True)
    out = attend_segments(qkv, 2, torch.zeros(2, 5), [2, 1])
    (grad,) = torch.autograd.grad(out.square().sum(), qkv, create_graph=True)
    with pytest.raises(RuntimeError, match='once_differentiable'):
        grad.sum().backward()


def test_plain_attention_against_pytorch():
    ours = Attention(12, 3)
    theirs = torch.nn.MultiheadAttention(12, 3, batch_first=True)
    theirs.load_state_dict(
        {
            'in_proj_weight': ours.qkv.weight,
            'in_proj_bias': ours.qkv.bias,
            'out_proj.weight': ours.proj.weight,
            'out_proj.bias': ours.proj.bias,
        }
    )
    x = torch.randn(2, 7, 12)
    torch.testing.assert_close(ours(x), theirs(x, x, x)[0], atol=1e-6, rtol=1e-5)


def test_heads_that_do_not_divide_the_channels_are_refused():
    with pytest.raises(ValueError, match='10 channels cannot be split among 3 heads'):
        Attention(10, 3)
