"""The homologous contrastive loss: constants of the specification, loops written out, properties."""

import math

import pytest
import torch
from torch.nn import functional as F

from mixmae_mm.models import HomologousContrastiveLoss

LABELS = torch.arange(196)[None] % 4


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


def test_equal_features_cannot_tell():
    value = loss()(torch.ones(2, 196, 8), LABELS)
    assert value.item() == pytest.approx(math.log(195), abs=1e-5) == pytest.approx(5.2730, abs=1e-4)


@pytest.mark.parametrize(
    ('temperature', 'value'), [(0.07, 3.8712), (0.1, 3.8713), (0.25, 3.9258), (0.5, 4.2180), (1.0, 4.6257)]
)
def test_orthogonal_clusters(temperature, value):
    features = torch.eye(4)[LABELS]
    assert loss(temperature)(features, LABELS).item() == pytest.approx(value, abs=1e-4)


def test_simplex_clusters():
    corners = torch.eye(4) - 0.25  # cosine -1/3
    assert loss(0.25)(corners[LABELS], LABELS).item() == pytest.approx(3.8859, abs=1e-4)


def test_nothing_is_below_the_floor():
    corners = torch.eye(4) - 0.25
    value = loss(0.01)(corners[LABELS], LABELS).item()
    assert value == pytest.approx(math.log(48), abs=1e-5) == pytest.approx(3.8712, abs=1e-4)


@pytest.mark.parametrize('seed', range(5))
def test_against_loops(seed):
    torch.manual_seed(seed)
    features = torch.randn(2, 12, 5, dtype=torch.float64)
    labels = torch.randint(0, 4, (2, 12))
    labels[0, 3] = 9  # alone with its label
    assert loss(0.3)(features, labels).item() == pytest.approx(by_loops(features, labels, 0.3), rel=1e-5)


def test_features_without_positives_are_left_out():
    assert loss()(torch.randn(1, 3, 4), torch.arange(3)[None]).item() == 0
    features = torch.randn(1, 5, 4)
    labels = torch.tensor([[0, 0, 1, 1, 2]])
    assert loss()(features, labels).item() == pytest.approx(by_loops(features, labels, 0.25), rel=1e-5)


def test_renaming_sources_changes_nothing():
    features, labels = torch.randn(3, 20, 6), torch.randint(0, 4, (3, 20))
    renamed = torch.tensor([2, 0, 3, 1])[labels]
    assert torch.equal(loss()(features, labels), loss()(features, renamed))


def test_order_and_length_change_nothing():
    features, labels = torch.randn(3, 20, 6), torch.randint(0, 4, (3, 20))
    order = torch.randperm(20)
    resized = features[:, order] * (torch.rand(3, 20, 1) + 0.5)
    torch.testing.assert_close(loss()(features, labels), loss()(resized, labels[:, order]))


def test_one_map_serves_all_groups():
    features, labels = torch.randn(3, 20, 6), torch.randint(0, 4, (1, 20))
    assert torch.equal(loss()(features, labels), loss()(features, labels.expand(3, -1)))


def test_the_weight_is_a_factor():
    features, labels = torch.randn(1, 8, 4), torch.arange(8)[None] % 2
    torch.testing.assert_close(
        HomologousContrastiveLoss(0.25, 0.1)(features, labels), 0.1 * loss(0.25)(features, labels)
    )


def test_it_is_computed_in_float32_under_autocast():
    features, labels = torch.randn(2, 30, 8).bfloat16(), torch.randint(0, 3, (2, 30))
    with torch.autocast('cpu', torch.bfloat16):
        value = loss()(features, labels)
    assert value.dtype == torch.float32
    assert torch.equal(value, loss()(features.float(), labels))


def test_gradients():
    features = torch.randn(2, 7, 3, dtype=torch.float64)
    labels = torch.tensor([[0, 0, 1, 1, 1, 2, 0]])
    features = features.float().requires_grad_()
    loss()(features, labels).backward()
    step = 1e-2
    for index in [(0, 0, 0), (1, 3, 2), (0, 5, 1)]:
        moved = [features.detach().clone() for _ in range(2)]
        moved[0][index] += step
        moved[1][index] -= step
        slope = (by_loops(moved[0], labels.expand(2, -1), 0.25) - by_loops(moved[1], labels.expand(2, -1), 0.25)) / (
            2 * step
        )
        assert features.grad[index].item() == pytest.approx(slope, rel=2e-2, abs=2e-4)


def test_refusals():
    with pytest.raises(ValueError, match='temperature must be a positive number, got 0'):
        HomologousContrastiveLoss(0)
    with pytest.raises(ValueError, match=r'are needed, got \(2, 8\) and \(2, 8\)'):
        loss()(torch.randn(2, 8), torch.zeros(2, 8))
    with pytest.raises(ValueError, match=r'are needed, got \(2, 8, 3\) and \(2, 9\)'):
        loss()(torch.randn(2, 8, 3), torch.zeros(2, 9))
