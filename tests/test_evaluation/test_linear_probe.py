import pytest
import torch

from mixmae_mm.evaluation.functional import linear_probe
from mixmae_mm.evaluation.functional.knn import knn_accuracy
from mixmae_mm.evaluation.functional.linear_probe import probe_accuracy, whiten


def clusters(count, std, seed=0):
    """Points around a center for each of three classes, of features of very different size, one of them constant."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 3
    points = torch.eye(3, 5)[labels] + std * torch.randn(count, 5, generator=generator)
    points = points * torch.tensor([1e-3, 1.0, 1e3, 1.0, 1.0])
    points[:, -1] = 7
    return points, labels


def test_what_a_line_parts_is_parted_and_chance_stays_chance():
    known, asked = clusters(60, 0.05), clusters(30, 0.05, seed=1)
    assert probe_accuracy(*known, *asked, 3) == 1
    assert probe_accuracy(*known, asked[0], (asked[1] + 1) % 3, 3) == 0
    noise = torch.randn(300, 5), torch.randint(0, 3, (300,))
    assert probe_accuracy(*noise, torch.randn(600, 5), torch.arange(600) % 3, 3) == pytest.approx(1 / 3, abs=0.1)


def test_sizes_and_offsets_of_features_do_not_matter():
    (known, labels), (asked, truth) = clusters(60, 0.6), clusters(200, 0.6, seed=1)
    scale, offset = torch.tensor([5.0, 0.1, 1e-2, 3.0, 1.0]), torch.tensor([1.0, -2.0, 3.0, 9.0, 0.0])
    plain = probe_accuracy(known, labels, asked, truth, 3)
    assert 0.4 < plain < 1
    assert probe_accuracy(known * scale + offset, labels, asked * scale + offset, truth, 3) == plain


def solve(features, targets, strength, left_out=None):
    """Ridge regression with an intercept by the normal equations, without one image; strengths count all images."""
    rows = [i for i in range(len(features)) if i != left_out]
    x, y = features[rows], targets[rows]
    center, mean = x.mean(0), y.mean(0)
    x, y = x - center, y - mean
    penalty = strength * len(features) * torch.eye(x.shape[1], dtype=x.dtype)
    weights = torch.linalg.solve(x.T @ x + penalty, x.T @ y)
    return weights, mean - center @ weights


def test_the_strength_is_the_one_that_leaving_images_out_would_choose():
    chosen = set()
    for seed in range(4):
        generator = torch.Generator().manual_seed(seed)
        features = torch.randn(14, 6, generator=generator).double()
        targets = features @ torch.randn(6, 2, generator=generator).double()
        targets = targets + 10 ** (seed - 1) * torch.randn(14, 2, generator=generator).double()
        features, targets = features - features.mean(0), targets - targets.mean(0)
        errors = []
        for strength in linear_probe.STRENGTHS:
            solved = [solve(features, targets, strength, i) for i in range(14)]
            fits = [features[i] @ weights + intercept for i, (weights, intercept) in enumerate(solved)]
            errors.append((targets - torch.stack(fits)).square().mean())
        best = linear_probe.STRENGTHS[errors.index(min(errors))]
        torch.testing.assert_close(linear_probe.ridge(features, targets), solve(features, targets, best)[0])
        chosen.add(best)
    assert len(chosen) > 1


def test_features_that_are_all_constant_become_zero():
    train, val = linear_probe.standardize(torch.full((4, 3), 2.0), torch.full((2, 3), 5.0))
    assert torch.equal(train, torch.zeros(4, 3))
    assert torch.equal(val, torch.zeros(2, 3))


def test_whitened_features_are_uncorrelated_of_variance_one_and_keep_the_strongest_directions():
    generator = torch.Generator().manual_seed(3)
    mixing = torch.randn(4, 6, generator=generator)
    known, asked = (torch.randn(n, 4, generator=generator) @ mixing + 5 for n in (400, 90))
    train, val = whiten(known, asked, 6)
    assert train.shape[1] == 4  # the rank: what does not vary has no direction
    assert torch.allclose(train.T @ train / 400, torch.eye(4), atol=1e-3)
    assert torch.allclose(train.mean(0), torch.zeros(4), atol=1e-4)
    covariance = torch.cov(known.T.double(), correction=0)
    values, vectors = torch.linalg.eigh(covariance)
    expected = (asked.double() - known.double().mean(0)) @ vectors[:, [-1, -2]] / values[[-1, -2]].sqrt()
    first = whiten(known, asked, 2)[1].double()
    assert torch.allclose(first.abs(), expected.abs(), atol=1e-3)
    assert torch.allclose(first, val[:, :2].double(), atol=1e-5)


def test_a_strong_direction_without_meaning_hides_classes_from_neighbors_unless_whitened():
    (known, labels), (asked, truth) = clusters(90, 0.1), clusters(60, 0.1, seed=1)
    noise = 1e3 * torch.randn(150, 5, generator=torch.Generator().manual_seed(4))
    known, asked = known / torch.tensor([1e-3, 1.0, 1e3, 1.0, 1.0]), asked / torch.tensor([1e-3, 1.0, 1e3, 1.0, 1.0])
    known, asked = torch.cat([known, noise[:90]], 1), torch.cat([asked, noise[90:]], 1)
    settings = dict(k=5, temperature=0.07, num_classes=3)
    assert knn_accuracy(known, labels, asked, truth, **settings) < 0.6
    train, val = whiten(known, asked, 8)
    assert knn_accuracy(train, labels, val, truth, **settings) > 0.8
