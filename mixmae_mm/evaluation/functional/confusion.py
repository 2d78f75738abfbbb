"""Intersection over union and pixel accuracy, from a confusion matrix.

Letters: K classes, H x W pixels, P parts of the images.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class SegmentationScores(NamedTuple):
    """Scores of pixel classification, from 0 to 1.

    `iou` is NaN for classes that are neither labeled nor predicted anywhere; `miou` is the mean of the others, and
    `miou_error` its standard error, NaN for a single image.
    """

    miou: float
    iou: tuple[float, ...]
    pixel_accuracy: float
    miou_error: float


def confusion_matrix(predicted: Tensor, labels: Tensor, num_classes: int, ignore_index: int) -> Tensor:
    """Count pixels by label (row) and prediction (column): two of (H, W) -> (K, K); ignored labels do not count."""
    kept, known = labeled(labels, num_classes, ignore_index)
    pairs = known * num_classes + predicted[kept]
    return torch.bincount(pairs, minlength=num_classes**2).view(num_classes, num_classes)


def labeled(labels: Tensor, num_classes: int, ignore_index: int) -> tuple[Tensor, Tensor]:
    """Return which labels are not ignored, bool like `labels`, and these, int64; raise `ValueError` for wrong ones."""
    kept = labels != ignore_index
    known = labels[kept].long()  # the uint8 of masks would overflow
    if len(known) and not (known.min() >= 0 and known.max() < num_classes):
        found = f'{int(known.min())} to {int(known.max())}'
        raise ValueError(f'labels are {found}, but there are {num_classes} classes, and {ignore_index} is ignored')
    return kept, known


def segmentation_scores(matrices: Tensor) -> SegmentationScores:
    """Compute scores from the confusion matrices of parts of the images (P, K, K), as mmseg's IoUMetric does.

    The standard error is the jackknife's, which leaves out each part in turn (Tukey 1958).
    """
    matrices = matrices.double()
    whole = matrices.sum(dim=0)
    if not whole.sum() > 0:
        raise ValueError('there are no labeled pixels to validate on')
    iou, parts = _iou(whole), len(matrices)
    without = _iou(whole - matrices).nanmean(dim=1)
    error = ((parts - 1) * without.var(correction=0)).sqrt() if parts > 1 else float('nan')
    accuracy = whole.diagonal().sum() / whole.sum()
    return SegmentationScores(float(iou.nanmean()), tuple(iou.tolist()), float(accuracy), float(error))


def _iou(matrices: Tensor) -> Tensor:
    """Compute the intersection over union of each class: (..., K, K) -> (..., K)."""
    right = matrices.diagonal(dim1=-2, dim2=-1)
    return right / (matrices.sum(dim=-2) + matrices.sum(dim=-1) - right)
