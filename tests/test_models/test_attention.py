"""Attention in windows, both kernels, against loops written out."""

import pytest
import torch

from mixmae_mm.models.utils import attention
from mixmae_mm.models.utils.attention import attend

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


@pytest.fixture(params=[True, False], ids=['fused', 'explicit'])
def types(request, monkeypatch):
    """Choose the kernel, and list the types of the biases it is given."""
    types = []
    monkeypatch.setattr(attention, 'prefers_fused', lambda query, bias: types.append(bias.dtype) or request.param)
    return types


@pytest.mark.usefixtures('types')
@pytest.mark.parametrize('keep_of', [1, 2, None], ids=['shared mask', 'mask for each image', 'all keys'])
def test_masked_attention_and_its_gradients_against_loops(keep_of):
    query, key, value, bias, keep = draw(keep_of or 1)
    expected = by_loops(query, key, value, bias, keep if keep_of else torch.ones_like(keep))
    got = attend(query, key, value, bias, keep[:, :, None] if keep_of else None)
    torch.testing.assert_close(got, expected, atol=1e-6, rtol=1e-5)
    weights = torch.randn_like(got)
    wanted = torch.autograd.grad((expected * weights).sum(), [query, key, value, bias])
    found = torch.autograd.grad((got * weights).sum(), [query, key, value, bias])
    for ours, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


def test_attention_keeps_the_type_of_the_query(types):
    """Biases are parameters in float32: with the mask, (B, W, S, T, T), twice the memory unless cast."""
    query, key, value, bias, keep = draw(1)
    query, key, value = (x.detach().bfloat16() for x in (query, key, value))
    for kept in (keep, None):
        out = attend(query, key, value, bias.detach(), None if kept is None else kept[:, :, None])
        assert out.dtype == types.pop() == torch.bfloat16
        seen = torch.ones_like(keep) if kept is None else keep
        expected = by_loops(query.float(), key.float(), value.float(), bias, seen)
        torch.testing.assert_close(out.float(), expected, atol=0.05, rtol=0.05)


@pytest.mark.usefixtures('types')
def test_half_precision_keeps_masked_keys_out():
    query, key, value, bias, keep = draw(1)
    halves = [x.detach().bfloat16() for x in (query, key, value)]
    other = halves[2].clone()
    other[:, 0, :, 1:] = 100
    keep[:, 0, 0] = torch.tensor([True, False, False, False, False])
    first, second = (attend(*halves[:2], v, bias, keep[:, :, None])[:, 0, :, 0] for v in (halves[2], other))
    assert torch.equal(first, second)
