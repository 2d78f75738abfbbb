import math

import pytest
import torch

from mixmae_mm.evaluation import feature_std, mean_cosine, rank_me


def test_rank_by_hand():
    # singular values 3 and 1: shares 3/4 and 1/4
    expected = math.exp(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)))
    assert rank_me(torch.tensor([[3.0, 0.0], [0.0, 1.0], [0.0, 0.0]])) == pytest.approx(expected, rel=1e-5)


def test_rank_of_one_direction_is_one_and_of_all_alike_their_number():
    direction = torch.randn(1, 16)
    assert rank_me(torch.randn(50, 1) @ direction) == pytest.approx(1, abs=1e-4)
    assert rank_me(7 * torch.eye(16)) == pytest.approx(16, rel=1e-4)
    assert rank_me(torch.eye(16).repeat(4, 1)) == pytest.approx(16, rel=1e-4)
    assert 14 < rank_me(torch.randn(5000, 16)) < 16


def test_rank_and_standard_deviation_do_not_depend_on_the_scale_and_rank_not_on_a_rotation():
    features = torch.randn(40, 6) * torch.tensor([5.0, 3, 1, 1, 0.1, 0.01])
    turn = torch.linalg.qr(torch.randn(6, 6))[0]
    assert rank_me(features @ turn * 1000) == pytest.approx(rank_me(features), rel=1e-4)
    assert feature_std(features * 1000) == pytest.approx(feature_std(features), rel=1e-5)


def test_standard_deviation_and_cosine_by_loops():
    features = torch.randn(12, 5) + 0.5
    directions = [[x / math.sqrt(sum(y * y for y in row)) for x in row] for row in features.tolist()]
    spreads = []
    for d in range(5):
        mean = sum(row[d] for row in directions) / 12
        spreads.append(math.sqrt(sum((row[d] - mean) ** 2 for row in directions) / 12))
    cosines = [
        sum(a * b for a, b in zip(directions[i], directions[j], strict=True))
        for i in range(12)
        for j in range(12)
        if i != j
    ]
    assert feature_std(features) == pytest.approx(sum(spreads) / 5 * math.sqrt(5), rel=1e-5)
    assert mean_cosine(features) == pytest.approx(sum(cosines) / len(cosines), rel=1e-5)


def test_collapse_shows_and_so_does_its_opposite():
    same = torch.randn(1, 64).repeat(100, 1) * torch.rand(100, 1)
    assert feature_std(same) == pytest.approx(0, abs=1e-6)
    assert mean_cosine(same) == pytest.approx(1, abs=1e-6)
    everywhere = torch.randn(5000, 64)
    assert feature_std(everywhere) == pytest.approx(1, abs=0.01)
    assert mean_cosine(everywhere) == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize('measure', [rank_me, feature_std, mean_cosine])
def test_what_is_not_finite_is_named(measure):
    with pytest.raises(ValueError, match='^features are not finite: has the training diverged'):
        measure(torch.tensor([[1.0, 2.0], [math.nan, 0.0]]))


def test_what_has_no_rank_and_no_pair_is_refused():
    with pytest.raises(ValueError, match='^all features are 0, and have no rank'):
        rank_me(torch.zeros(3, 4))
    with pytest.raises(ValueError, match=r'^1 image\(s\) make no pair'):
        mean_cosine(torch.ones(1, 4))
