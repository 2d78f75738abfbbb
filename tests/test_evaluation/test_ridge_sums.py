import pytest
import torch

from mixmae_mm.evaluation.functional.linear_probe import STRENGTHS
from mixmae_mm.evaluation.functional.ridge_sums import RidgeSums, fit_best


def patches(count=40, seed=0, noise=1.0):
    """Features of very different size and offset, one of them constant, and pixels of three classes, some in none."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(count, 5, generator=generator)
    scores = features[:, :3] + noise * torch.randn(count, 3, generator=generator)
    counts = torch.randint(0, 4, (count, 3), generator=generator) + 6 * (scores == scores.amax(1, keepdim=True))
    counts[::7] = 0
    features = features * torch.tensor([1e-2, 1.0, 50.0, 1.0, 0.0]) + torch.tensor([3.0, -2.0, 100.0, 0.0, 7.0])
    return features, counts


def as_pixels(features, counts):
    """Each pixel with the features of its patch and the indicator of its class, in double precision."""
    rows, targets = [], []
    for feature, count in zip(features.double(), counts.tolist(), strict=True):
        for label, number in enumerate(count):
            rows += [feature] * number
            targets += [[float(label == other) for other in range(len(count))]] * number
    return torch.stack(rows), torch.tensor(targets, dtype=torch.float64)


def sums_of(features, counts):
    sums = RidgeSums(features.shape[1], counts.shape[1])
    for part in zip(features.split(9), counts.split(9), strict=True):
        sums.add(*part)
    return sums


def solved(rows, targets, strength):
    """Ridge regression of single pixels by a dense solve, of features that are standardized first."""
    mean, std = rows.mean(0), rows.std(0, correction=0)
    x = (rows - mean) / torch.where(std > 0, std, 1)
    penalty = strength * len(x) * torch.eye(x.shape[1], dtype=x.dtype)
    weights = torch.linalg.solve(x.T @ x + penalty, x.T @ (targets - targets.mean(0)))
    return lambda asked: (asked.double() - mean) / torch.where(std > 0, std, 1) @ weights + targets.mean(0)


@pytest.mark.parametrize('strength', [1e-4, 0.1, 10.0])
def test_patches_count_as_the_pixels_in_them(strength):
    features, counts = patches()
    rows, targets = as_pixels(features, counts)
    (fit,) = sums_of(features, counts).fit([strength])
    torch.testing.assert_close(fit(features.double()), solved(rows, targets, strength)(features), rtol=1e-6, atol=1e-8)
    assert (fit.weights[-1] == 0).all()
    error = sums_of(*patches(seed=1)).error(fit)
    asked, truth = as_pixels(*patches(seed=1))
    assert error == pytest.approx(float((fit(asked) - truth).square().sum(1).mean()), rel=1e-9)


def test_the_strength_is_the_best_on_what_is_held_out_and_all_is_fitted_by_it():
    chosen = set()
    for noise in (0.1, 30.0):
        parts = [patches(60, seed, noise) for seed in (2, 3)]
        pixels = [as_pixels(*part) for part in parts]
        errors = [(solved(*pixels[0], one)(pixels[1][0]) - pixels[1][1]).square().mean() for one in STRENGTHS]
        fit, strength = fit_best(*(sums_of(*part) for part in parts))
        assert strength == STRENGTHS[errors.index(min(errors))]
        of_all = solved(*(torch.cat(both) for both in zip(*pixels, strict=True)), strength)
        torch.testing.assert_close(fit(pixels[0][0]), of_all(pixels[0][0]), rtol=1e-6, atol=1e-8)
        chosen.add(strength)
    assert len(chosen) == 2


def test_without_labels_nothing_is_learned():
    features, counts = patches()
    with pytest.raises(ValueError, match='no labeled pixels to learn from'):
        sums_of(features, counts * 0).fit([1.0])
    with pytest.raises(ValueError, match='in at least two images'):
        fit_best(sums_of(features, counts), sums_of(features, counts * 0))
