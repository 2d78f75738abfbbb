import math

import pytest
import torch
from torch.nn import functional as F

from mixmae_mm.evaluation.dense import evaluate_dense, normalize_patches
from mixmae_mm.evaluation.functional.dense_probe import (
    NeighborProbe,
    RidgeProbe,
    classify_pixels,
    concatenate_maps,
    label_counts,
)


def test_labels_are_counted_in_the_patch_that_they_lie_in():
    labels = torch.randint(0, 3, (6, 8), generator=torch.Generator().manual_seed(0))
    labels[2, :5] = 255
    expected = torch.zeros(3, 2, 3, dtype=torch.long)
    for y in range(6):
        for x in range(8):
            if labels[y, x] != 255:
                expected[y // 2, x // 4, labels[y, x]] += 1
    assert torch.equal(label_counts(labels, (3, 2), 3, 255), expected.flatten(0, 1))
    with pytest.raises(ValueError, match=r'^6 x 8 pixels .* 4 x 2 .*: use an image size'):
        label_counts(labels, (4, 2), 3, 255)


def test_pixels_have_the_class_of_interpolated_scores():
    scores = torch.randn(6, 3, generator=torch.Generator().manual_seed(0)).double()
    predicted = classify_pixels(scores, (2, 3), (8, 12))
    for y in range(8):
        for x in range(12):
            top, left = min(max((y + 0.5) / 4 - 0.5, 0), 1), min(max((x + 0.5) / 4 - 0.5, 0), 2)
            (i, v), (j, u) = ((int(place), place % 1) for place in (top, left))
            corners = [(i, j, (1 - v) * (1 - u)), (i, min(j + 1, 2), (1 - v) * u)]
            corners += [(min(i + 1, 1), j, v * (1 - u)), (min(i + 1, 1), min(j + 1, 2), v * u)]
            assert predicted[y, x] == sum(share * scores[3 * row + column] for row, column, share in corners).argmax()


def neighbors(known, counts, asked, k, temperature):
    """The vote written out, one patch at a time."""
    rows = []
    for feature in asked.tolist():
        ranking = []
        for other, count in zip(known.tolist(), counts.tolist(), strict=True):
            if sum(count):
                product = sum(a * b for a, b in zip(feature, other, strict=True))
                ranking.append((product / math.hypot(*feature) / math.hypot(*other), [n / sum(count) for n in count]))
        nearest = sorted(ranking, reverse=True)[:k]
        weights = [math.exp(similarity / temperature) for similarity, _ in nearest]
        votes = [sum(w * share[c] for w, (_, share) in zip(weights, nearest, strict=True)) for c in range(3)]
        rows.append([vote / sum(weights) for vote in votes])
    return torch.tensor(rows)


@pytest.mark.parametrize(('k', 'temperature'), [(1, 0.07), (5, 0.07), (8, 2.0)])
def test_neighbors_vote_with_their_shares_of_the_classes(k, temperature):
    generator = torch.Generator().manual_seed(k)
    known, asked = (torch.randn(count, 4, generator=generator) for count in (30, 1030))
    counts = torch.randint(0, 3, (30, 3), generator=generator)
    counts[3] = 0
    probe = NeighborProbe(3, k, temperature)
    for part in zip(known.split(7), counts.split(7), strict=True):
        probe.add(*part)
    votes = probe.score(asked)  # more than a chunk of them
    torch.testing.assert_close(votes[-20:], neighbors(known, counts, asked[-20:], k, temperature))
    assert len(probe.bank[0]) == (counts.sum(dim=1) > 0).sum() < 30


def test_the_bank_is_a_uniform_choice_of_bounded_size():
    kept = torch.zeros(60)
    for seed in range(200):
        probe = NeighborProbe(1, bank_size=12, seed=seed)
        for start in range(0, 60, 10):
            probe.add(torch.eye(60)[start : start + 10], torch.ones(10, 1))
            assert len(probe.bank[0]) <= 12
        kept += probe.bank[0].sum(dim=0)
    assert kept.sum() == 200 * 12
    assert kept.min() > 20  # of 40 +- 5.7
    assert kept.max() < 60
    with pytest.raises(ValueError, match='^k .* 1 to .* 12 training patches, got 20$'):
        probe.score(torch.eye(60))


def test_maps_of_several_depths_are_concatenated_at_the_finest():
    fine, coarse = torch.randn(2, 4, 6), torch.randn(3, 2, 3)
    concatenated = concatenate_maps([coarse, fine])
    assert torch.equal(concatenated[3:], fine)
    assert torch.equal(concatenated[:3], F.interpolate(coarse[None], (4, 6), mode='bilinear')[0])
    assert concatenate_maps([coarse]) is coarse


def test_normalized_patches_have_mean_0_and_variance_1():
    (maps,) = normalize_patches([7 + 3 * torch.randn(2, 50, 3, 4)])
    torch.testing.assert_close(maps.mean(dim=1), torch.zeros(2, 3, 4), atol=1e-5, rtol=0)
    torch.testing.assert_close(maps.var(dim=1, correction=0), torch.ones(2, 3, 4), atol=1e-4, rtol=0)


def scenes(count, seed):
    """Images of two colors, left and right of an edge between patches, and their labels; some pixels have none."""
    generator, batches = torch.Generator().manual_seed(seed), []
    for _ in range(count):
        edge = 4 * int(torch.randint(1, 4, (), generator=generator))
        labels = (torch.arange(16) >= edge).long().expand(2, 8, 16).clone()
        images = torch.stack([labels, 1 - labels, 0 * labels], dim=1) + 0.1 * torch.randn(
            2, 3, 8, 16, generator=generator
        )
        labels[:, 0] = 9
        batches.append((images, labels))
    return batches


@pytest.mark.parametrize('probe', [RidgeProbe(3), NeighborProbe(3, k=5)])
def test_what_features_tell_is_found_and_what_they_do_not_is_not(probe):
    blocks = torch.nn.AvgPool2d(4)
    scores = evaluate_dense(lambda x: [blocks(x)], scenes(6, 0), scenes(3, 1), dict(a=probe), 9)['a']
    assert (scores.miou, scores.pixel_accuracy) == (1, 1)
    assert math.isnan(scores.iou[2])
    blind = type(probe)(3)
    scores = evaluate_dense(lambda x: [0 * blocks(x) + 1], scenes(6, 0), scenes(3, 1), dict(a=blind), 9)['a']
    assert scores.pixel_accuracy < 0.8


@pytest.mark.parametrize('kind', [RidgeProbe, NeighborProbe])
def test_without_training_images_there_is_no_score(kind):
    with pytest.raises(ValueError, match='no training image to learn from'):
        evaluate_dense(lambda x: [x], [], scenes(1, 0), dict(a=kind(2)), 9)


def test_every_fourth_image_and_of_two_the_second_is_held_out():
    probe = RidgeProbe(2)
    for number in range(1, 10):
        probe.add(torch.full((1, 1), float(number)), torch.tensor([[1, 0]]))
    assert [part.squares[0, 1].item() for part in probe.parts] == [1 + 3 + 5 + 6 + 7 + 9, 2 + 4 + 8]


def test_images_without_labels_take_no_turn():
    probe, other = RidgeProbe(2), RidgeProbe(2)
    for number in range(1, 10):
        one = torch.full((1, 1), float(number)), torch.tensor([[1, 0]])
        for of_all in (probe, other):
            of_all.add(*one)
        probe.add(one[0] + 100, torch.zeros(1, 2, dtype=torch.int64))
    pairs = zip(probe.parts, other.parts, strict=True)
    assert all(torch.equal(one.squares, its.squares) for one, its in pairs)
