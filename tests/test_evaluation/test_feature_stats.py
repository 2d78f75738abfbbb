import math

import pytest
import torch

from mixmae_mm.evaluation import (
    NeighborProbe,
    RidgeProbe,
    evaluate_dense,
    feature_std,
    knn_accuracy,
    mean_cosine,
    probe_accuracy,
    rank_me,
)
from mixmae_mm.evaluation.functional.linear_probe import whiten


def test_rank_by_hand_and_of_extremes():
    # singular values 3 and 1: shares 3/4 and 1/4
    expected = math.exp(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)))
    assert rank_me(torch.tensor([[3.0, 0.0], [0.0, 1.0], [0.0, 0.0]])) == pytest.approx(expected, rel=1e-5)
    assert rank_me(torch.randn(50, 1) @ torch.randn(1, 16)) == pytest.approx(1, abs=1e-4)
    assert rank_me(7 * torch.eye(16).repeat(4, 1)) == pytest.approx(16, rel=1e-4)


def test_standard_deviation_and_cosine_by_loops():
    features = torch.randn(12, 5) + 0.5
    directions = [[x / math.sqrt(sum(y * y for y in row)) for x in row] for row in features.tolist()]
    deviations = []
    for d in range(5):
        mean = sum(row[d] for row in directions) / 12
        deviations.append(math.sqrt(sum((row[d] - mean) ** 2 for row in directions) / 12))
    pairs = [(i, j) for i in range(12) for j in range(12) if i != j]
    cosines = [sum(a * b for a, b in zip(directions[i], directions[j], strict=True)) for i, j in pairs]
    assert feature_std(features) == pytest.approx(sum(deviations) / 5 * math.sqrt(5), rel=1e-5)
    assert mean_cosine(features) == pytest.approx(sum(cosines) / len(cosines), rel=1e-5)


def test_collapse_shows_and_so_does_its_opposite():
    same = torch.randn(1, 64).repeat(100, 1) * torch.rand(100, 1)
    everywhere = torch.randn(5000, 64)
    assert [feature_std(same), mean_cosine(same)] == pytest.approx([0, 1], abs=1e-6)
    assert [feature_std(everywhere), mean_cosine(everywhere)] == pytest.approx([1, 0], abs=0.01)


@pytest.mark.parametrize('measure', [rank_me, feature_std, mean_cosine])
def test_what_cannot_be_measured_is_refused(measure):
    with pytest.raises(ValueError, match='not finite'):
        measure(torch.tensor([[1.0, 2.0], [math.nan, 0.0]]))
    if measure is not feature_std:
        with pytest.raises(ValueError, match='all features are 0|no pair'):
            measure(torch.zeros(3, 4) if measure is rank_me else torch.ones(1, 4))


@pytest.mark.parametrize('number', [math.nan, math.inf])
@pytest.mark.parametrize('place', [0, 1])
def test_classifiers_refuse_features_that_are_not_finite(number, place):
    """One of them would be the nearest neighbor of all images."""
    features, labels = [torch.randn(8, 3), torch.randn(8, 3)], torch.arange(8) % 2
    features[place][5, 1] = number
    with pytest.raises(ValueError, match='^features are not finite'):
        knn_accuracy(features[0], labels, features[1], labels, 3, 0.07, 2)
    with pytest.raises(ValueError, match='^features are not finite'):
        probe_accuracy(features[0], labels, features[1], labels, 2)
    with pytest.raises(ValueError, match='^features are not finite'):
        whiten(*features, 2)
    maps = [one.T.reshape(1, 3, 2, 4) for one in features]
    batches = [[(one, torch.arange(8).view(1, 2, 4) % 2)] * 2 for one in maps]
    for probe in (RidgeProbe(2), NeighborProbe(2, k=3)):
        with pytest.raises(ValueError, match='^features are not finite'):
            evaluate_dense(lambda x: [x], *batches, dict(a=probe))


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_neighbors_of_features_in_half_precision_vote_in_float32(dtype):
    generator = torch.Generator().manual_seed(0)
    features = [torch.randn(300, 16, generator=generator).to(dtype) for _ in range(2)]
    features[0][0] = 0
    labels = torch.arange(300) % 3
    expected = knn_accuracy(features[0].float(), labels, features[1].float(), labels, 20, 0.07, 3)
    assert knn_accuracy(features[0], labels, features[1], labels, 20, 0.07, 3) == expected
