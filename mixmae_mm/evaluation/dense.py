"""Evaluation of frozen patch features by pixel labels.

Letters: B images, C channels, H x W pixels, h x w patches, D features.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from mixmae_mm.evaluation.functional.confusion import SegmentationScores, confusion_matrix, segmentation_scores
from mixmae_mm.evaluation.functional.dense_probe import (
    NeighborProbe,
    RidgeProbe,
    classify_pixels,
    concatenate_maps,
    label_counts,
)
from mixmae_mm.evaluation.functional.finite import finite

DenseProbe = RidgeProbe | NeighborProbe
Encode = Callable[[Tensor], Sequence[Tensor]]
"""Images (B, C, H, W) -> maps (B, D, h, w), from one depth or more."""
Batches = Iterable[tuple[Tensor, Tensor]]
"""Images (B, C, H, W) with their labels (B, H, W)."""
PARTS = 50
"""Maximum number of parts that the validation images are divided into for the standard error."""


@torch.no_grad()
def evaluate_dense(
    encode: Encode, train: Batches, val: Batches, probes: Mapping[str, DenseProbe], ignore_index: int = 255
) -> dict[str, SegmentationScores]:
    """Fit pixel classifiers to training images, and compute their scores on others, at the masks' resolution.

    The concatenated maps of only one image are in memory at a time. Raise `ValueError` if no pixel has a label.
    """
    classes = next(iter(probes.values())).num_classes
    for maps, labels in each_image(encode, train):
        counts = label_counts(labels, maps.shape[1:], classes, ignore_index)
        for probe in probes.values():
            probe.add(maps.flatten(1).T, counts)
    matrices: dict[str, list[Tensor]] = {name: [] for name in probes}
    for number, (maps, labels) in enumerate(each_image(encode, val)):
        for name, probe in probes.items():
            predicted = classify_pixels(probe.score(maps.flatten(1).T), maps.shape[1:], labels.shape)
            matrix = confusion_matrix(predicted, labels, classes, ignore_index).cpu()
            if number < PARTS:
                matrices[name].append(matrix)
            else:
                matrices[name][number % PARTS] += matrix
    if not next(iter(matrices.values())):
        raise ValueError('no validation image can be read')
    return {name: segmentation_scores(torch.stack(parts)) for name, parts in matrices.items()}


def normalize_patches(maps: Sequence[Tensor]) -> list[Tensor]:
    """Normalize the features of each patch to mean 0 and variance 1, because only the last map has a trained norm."""
    return [F.layer_norm(one.movedim(1, -1), one.shape[1:2]).movedim(-1, 1) for one in maps]


def each_image(encode: Encode, batches: Batches) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the concatenated maps (D, h, w) and the labels (H, W) of each image."""
    for images, labels in batches:
        for *maps, its in zip(*encode(images), labels, strict=True):
            yield finite(concatenate_maps(maps)).float(), its.to(maps[0].device)
