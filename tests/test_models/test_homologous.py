"""Homologous attention, against loops written out: the keys that are kept, the output, and the precision."""

import math

import pytest
import torch
from torch.nn import functional as F

from mixmae_mm.mixing import homologous, random_assignment
from mixmae_mm.models.utils.attention import Attention, KeySelection
from mixmae_mm.models.utils.homologous_attention import TopKeys, top_keys

NEEDS_HALF = pytest.mark.skipif(torch.__version__ < '2.4', reason='no products of float16 on the CPU before torch 2.4')


@pytest.mark.parametrize('num_keys', [1, 4, 9])
@pytest.mark.parametrize('levels', [None, 1, 3], ids=['no ties', 'all tied', 'ties'])
def test_exactly_as_many_of_the_best_are_kept(num_keys, levels):
    logits = torch.randint(0, levels, (4, 6, 10)).float() if levels else torch.randn(4, 6, 10)
    kept = top_keys(logits, num_keys)
    assert (kept.sum(-1) == num_keys).all()
    worst_kept = logits.masked_fill(~kept, math.inf).amin(-1)
    best_dropped = logits.masked_fill(kept, -math.inf).amax(-1)
    assert (worst_kept >= best_dropped).all()


def by_loops(attention, x, ratio, extra):
    """Attend query by query."""
    heads, tokens = attention.num_heads, x.shape[1]
    dims = x.shape[2] // heads
    num_keys = max(1, round(ratio * (tokens - extra)))
    out = torch.zeros_like(x)
    qkv = attention.qkv(x)
    for group in range(len(x)):
        for head in range(heads):
            q, k, v = (qkv[group, :, (part * heads + head) * dims :][:, :dims] for part in range(3))
            for query in range(tokens):
                logits = k @ q[query] / math.sqrt(dims)
                patches = sorted(range(extra, tokens), key=lambda i: -logits[i].item())
                kept = list(range(extra)) + patches[:num_keys] if query >= extra else list(range(tokens))
                weights = logits[kept].softmax(0)
                out[group, query, head * dims : (head + 1) * dims] = weights @ v[kept]
    return attention.proj(out)


@pytest.mark.parametrize(('ratio', 'extra'), [(0.25, 1), (0.5, 1), (0.25, 0), (0.01, 1), (1.0, 1), (0.4, 1)])
def test_against_loops(ratio, extra):
    attention, x = Attention(12, 3), torch.randn(2, 13, 12, requires_grad=True)
    found, expected = attention(x, TopKeys(ratio, extra)), by_loops(attention, x, ratio, extra)
    torch.testing.assert_close(found, expected)
    gradients = [torch.autograd.grad(y.square().sum(), [x, *attention.parameters()]) for y in (found, expected)]
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-5)


def test_half_precision_chooses_by_float32_logits():
    torch.manual_seed(0)
    query, key = torch.randn(1, 2, 65, 16).bfloat16(), torch.randn(1, 2, 65, 16).bfloat16()
    with torch.autocast('cpu', torch.bfloat16):
        keep = TopKeys(0.25, 1)(query, key)
    assert torch.equal(keep, TopKeys(0.25, 1)(query.float(), key.float()))
    rounded = top_keys((query[:, :, 1:] @ key[:, :, 1:].transpose(-1, -2)).float(), 16)
    assert not torch.equal(keep[..., 1:, 1:], rounded)  # rounding the logits would have chosen others


def same_source(assignment, extra):
    """Return which tokens share a source, CLS none."""
    return F.pad(homologous(assignment), (extra, 0, extra, 0), value=False)


def both_ways(rule, query, key):
    """Return the precision of the choice, and of attention on a CPU."""
    rule(query, key)
    chosen = rule.precision.item()
    rule.attend(query, key, torch.randn_like(key))
    return chosen, rule.precision.item()


@pytest.mark.parametrize('extra', [0, 1])
def test_precision_of_a_perfect_guess(extra):
    assignment = random_assignment(2, 16, 4)
    directions = torch.eye(4)[assignment][:, None]
    tokens = torch.cat([torch.zeros(2, 1, extra, 4), directions], 2)
    rule = TopKeys(0.25, extra, same_source(assignment, extra))
    assert both_ways(rule, tokens, tokens) == (1, 1)
    assert torch.equal(rule(tokens, tokens)[:, 0, extra:, extra:], homologous(assignment))
    wrong = TopKeys(0.25, extra, same_source((assignment + assignment.roll(1, 1)) % 4, extra))
    chosen, attended = both_ways(wrong, tokens, tokens)
    assert chosen == attended < 1


def test_precision_by_hand():
    logits = torch.tensor([[3.0, 2.0, 1.0, 0.0]] * 4)[None, None]
    rule = TopKeys(0.5, 0, same_source(torch.tensor([[0, 0, 1, 0]]), 0))
    keys = logits.transpose(-1, -2)  # every query keeps keys 0 and 1: right for queries 0, 1 and 3
    assert both_ways(rule, torch.eye(4)[None, None], keys) == pytest.approx((6 / 8, 6 / 8))


def attended(inputs, ratio, extra, dtype=torch.float32, way=TopKeys.attend):
    """Return the output of homologous attention, and the gradients of query, key and value."""
    leaves = [x.to(dtype, copy=True).requires_grad_() for x in inputs]
    out = way(TopKeys(ratio, extra), *leaves)
    (out.float() * torch.arange(out.numel()).view(out.shape).sin()).sum().backward()
    return [x.float() for x in (out.detach(), *(leaf.grad for leaf in leaves))]


@pytest.mark.parametrize('levels', [None, 3, 1])  # how many values there are: with few, nearly all rows have ties
@pytest.mark.parametrize(('ratio', 'extra'), [(0.25, 1), (0.25, 0), (1.0, 1), (0.01, 1)])
def test_attention_on_a_cpu_is_that_by_a_mask(ratio, extra, levels):
    torch.manual_seed(0)
    inputs = torch.randn(3, 2, 3, 33, 16)  # 16: logits are scaled by 1 / 4 exactly, so that ties stay ties
    if levels:
        inputs[:2] = torch.randint(0, levels, inputs[:2].shape).float()
    for ours, masked in zip(
        attended(inputs, ratio, extra), attended(inputs, ratio, extra, way=KeySelection.attend), strict=True
    ):
        torch.testing.assert_close(ours, masked, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('dtype', [torch.bfloat16, pytest.param(torch.float16, marks=NEEDS_HALF)])
def test_attention_in_half_precision_is_near_float32(dtype):
    torch.manual_seed(0)
    inputs = torch.randn(3, 2, 3, 33, 8).to(dtype)  # so that both choose by the same logits
    with torch.autocast('cpu', dtype):
        halves = attended(inputs, 0.25, 1, dtype)
    for half, single in zip(halves, attended(inputs, 0.25, 1), strict=True):
        torch.testing.assert_close(half, single, rtol=0.03, atol=0.03)


@pytest.mark.parametrize('bad', [math.nan, math.inf])
def test_nan_and_infinity_are_not_masked(bad):
    query, key, value = torch.randn(3, 1, 2, 9, 4)
    query[0, 1, 5, 2] = bad
    lost = TopKeys(0.25, 1).attend(query, key, value).isnan().any(-1)
    assert lost[0, 1, 5]
    assert lost.sum() == 1
