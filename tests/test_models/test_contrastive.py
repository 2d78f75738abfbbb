"""The homologous contrastive loss: against loops, without positives, under autocast."""

import math

import pytest
import torch
from torch.nn import functional as F

from mixmae_mm.models import HomologousContrastiveLoss


def loss(temperature=0.25):
    return HomologousContrastiveLoss(temperature, weight=1.0)


def by_loops(features, labels, temperature):
    terms = []
    for group, names in zip(features, labels, strict=True):
        for i, anchor in enumerate(group):
            scores = {
                j: math.exp(F.cosine_similarity(anchor, other, dim=0).item() / temperature)
                for j, other in enumerate(group)
                if j != i
            }
            positives = [j for j in scores if names[j] == names[i]]
            if positives:
                total = sum(scores.values())
                terms.append(-sum(math.log(scores[j] / total) for j in positives) / len(positives))
    return sum(terms) / len(terms)


def test_against_loops():
    features = torch.randn(2, 12, 5, dtype=torch.float64)
    labels = torch.randint(0, 4, (2, 12))
    labels[0, 3] = 9  # alone with its label
    expected = by_loops(features, labels, 0.3)
    assert loss(0.3)(features, labels).item() == pytest.approx(expected, rel=1e-5)
    weighted = HomologousContrastiveLoss(0.3, weight=0.1)
    assert weighted(features, labels).item() == pytest.approx(0.1 * expected, rel=1e-5)


def test_without_positives_the_loss_is_0():
    assert loss()(torch.randn(1, 3, 4), torch.arange(3)[None]).item() == 0


def test_it_is_computed_in_float32_under_autocast():
    features, labels = torch.randn(2, 30, 8).bfloat16(), torch.randint(0, 3, (2, 30))
    with torch.autocast('cpu', torch.bfloat16):
        value = loss()(features, labels)
    assert value.dtype == torch.float32
    assert torch.equal(value, loss()(features.float(), labels))


def test_a_temperature_of_0_is_refused():
    with pytest.raises(ValueError, match='temperature must be a positive number, got 0'):
        HomologousContrastiveLoss(0)
