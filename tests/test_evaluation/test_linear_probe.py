import pytest
import torch

from mixmae_mm.evaluation.functional import linear_probe
from mixmae_mm.evaluation.functional.linear_probe import probe_accuracy


def clusters(count, spread, classes=3, dims=5, seed=0):
    """Points around a center a class, with features of very different size, one of them always the same."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % classes
    points = torch.eye(classes, dims)[labels] + spread * torch.randn(count, dims, generator=generator)
    points = points * torch.tensor([1e-3, 1.0, 1e3, 1.0, 1.0])[:dims]
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


def test_more_features_than_images_are_shrunk_and_not_learnt_by_heart():
    generator = torch.Generator().manual_seed(0)
    labels, truth = torch.arange(40) % 2, torch.arange(400) % 2
    known, asked = (torch.randn(n, 200, generator=generator) for n in (40, 400))
    for points, classes in ((known, labels), (asked, truth)):
        points[:, :30] += 2 * classes[:, None]
    assert probe_accuracy(known, labels, asked, truth, 2) > 0.9


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
    for seed in range(4):
        generator = torch.Generator().manual_seed(seed)
        features = torch.randn(14, 6, generator=generator).double()
        targets = features @ torch.randn(6, 2, generator=generator).double()
        targets = targets + 10 ** (seed - 1) * torch.randn(14, 2, generator=generator).double()
        features, targets = features - features.mean(0), targets - targets.mean(0)
        errors = []
        for strength in linear_probe.STRENGTHS:
            error = 0.0
            for i in range(14):
                weights, intercept = solve(features, targets, strength, i)
                error += (targets[i] - features[i] @ weights - intercept).square().mean()
            errors.append(error / 14)
        best = linear_probe.STRENGTHS[errors.index(min(errors))]
        torch.testing.assert_close(linear_probe.ridge(features, targets), solve(features, targets, best)[0])


def test_the_strengths_that_are_chosen_differ():
    chosen = set()
    for noise in (0.0, 1.0, 100.0):
        features = torch.randn(30, 4, generator=torch.Generator().manual_seed(0)).double()
        features = features - features.mean(0)
        targets = features[:, :1] + noise * torch.randn(30, 1, generator=torch.Generator().manual_seed(1)).double()
        weights = linear_probe.ridge(features, targets - targets.mean(0))
        solutions = [solve(features, targets - targets.mean(0), s)[0] for s in linear_probe.STRENGTHS]
        errors = [(weights - solution).abs().max() for solution in solutions]
        chosen.add(errors.index(min(errors)))
    assert len(chosen) > 1
