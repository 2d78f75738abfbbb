import math

import pytest
import torch

from mixmae_mm.evaluation import knn_accuracy


def brute_force(train, train_labels, val, val_labels, k, temperature, num_classes):
    """The protocol written out: one image, one neighbor at a time."""
    right = 0
    for feature, label in zip(val.tolist(), val_labels.tolist(), strict=True):
        ranking = []
        for other, its in zip(train.tolist(), train_labels.tolist(), strict=True):
            product = sum(a * b for a, b in zip(feature, other, strict=True))
            ranking.append((product / math.hypot(*feature) / math.hypot(*other), its))
        votes = [0.0] * num_classes
        for similarity, its in sorted(ranking, reverse=True)[:k]:
            votes[its] += math.exp(similarity / temperature)
        right += votes.index(max(votes)) == label
    return right / len(val)


@pytest.mark.parametrize(('k', 'temperature'), [(1, 0.07), (5, 0.07), (5, 10.0), (20, 0.3), (60, 0.07)])
def test_accuracy_equals_the_loops(k, temperature):
    generator = torch.Generator().manual_seed(k)
    centers = torch.randn(4, 6, generator=generator, dtype=torch.float64)
    labels = [torch.randint(0, 4, (size,), generator=generator) for size in (60, 40)]
    noise = [torch.randn(len(y), 6, generator=generator, dtype=torch.float64) for y in labels]
    features = [centers[y] + 1.2 * some for y, some in zip(labels, noise, strict=True)]
    arguments = (features[0], labels[0], features[1], labels[1], k, temperature, 4)
    accuracy = knn_accuracy(*arguments)
    assert accuracy == pytest.approx(brute_force(*arguments))
    assert 0 < accuracy < 1


def test_tiny_temperature_is_the_nearest_neighbor_and_does_not_overflow():
    features, labels = torch.randn(50, 8), torch.arange(50) % 5
    asked, truth = torch.randn(30, 8), torch.arange(30) % 5
    nearest = knn_accuracy(features, labels, asked, truth, 1, 0.07, 5)
    assert knn_accuracy(features, labels, asked, truth, 20, 1e-5, 5) == nearest


def test_chunks_do_not_matter():
    features, labels = torch.randn(40, 4), torch.arange(40) % 2
    assert knn_accuracy(features, labels, features.repeat(60, 1), labels.repeat(60), 1, 0.07, 2) == 1


@pytest.mark.parametrize(
    ('k', 'temperature', 'words'), [(5, 0.07, '^k must be from 1 to the 4 training images'), (1, 0, '^temperature 0')]
)
def test_impossible_settings_are_refused(k, temperature, words):
    features, labels = torch.randn(4, 2), torch.zeros(4, dtype=torch.long)
    with pytest.raises(ValueError, match=words):
        knn_accuracy(features, labels, features, labels, k, temperature, 1)
