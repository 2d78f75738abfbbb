"""Intersection over union and pixel accuracy, from a confusion matrix.

Letters: K classes, H x W pixels.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class SegmentationScores(NamedTuple):
    """How well pixels are classified, from 0 to 1.

    `iou` is NaN for classes that are neither labeled nor predicted anywhere; `miou` is the mean of the others.
    """

    miou: float
    iou: tuple[float, ...]
    pixel_accuracy: float


def confusion_matrix(predicted: Tensor, labels: Tensor, num_classes: int, ignore_index: int) -> Tensor:
    """Count pixels by label (row) and prediction (column): two of (H, W) -> (K, K); ignored labels do not count."""
    kept = labels != ignore_index
    pairs = labels[kept] * num_classes + predicted[kept]
    return torch.bincount(pairs, minlength=num_classes**2).view(num_classes, num_classes)


def segmentation_scores(matrix: Tensor) -> SegmentationScores:
    """Compute the scores of a confusion matrix (K, K), as mmseg's IoUMetric does."""
    matrix = matrix.double()
    if not matrix.sum() > 0:
        raise ValueError('there is no labeled pixel to validate on')
    right = matrix.diagonal()
    iou = right / (matrix.sum(dim=0) + matrix.sum(dim=1) - right)
    return SegmentationScores(float(iou.nanmean()), tuple(iou.tolist()), float(right.sum() / matrix.sum()))
