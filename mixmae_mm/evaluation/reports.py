"""What `mixmae evaluate` reports, as plain data.

Letters: N images, B images of a batch, C channels, H x W pixels, D features.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from torch import Tensor

from mixmae_mm.datasets.image_reader import ImageReader
from mixmae_mm.evaluation.dense import Encode, evaluate_dense
from mixmae_mm.evaluation.functional.dense_probe import NeighborProbe, RidgeProbe
from mixmae_mm.evaluation.functional.few_labels import Few, few_label_accuracy
from mixmae_mm.evaluation.functional.knn import knn_accuracy
from mixmae_mm.evaluation.functional.linear_probe import probe_accuracy, whiten
from mixmae_mm.evaluation.masked_images import Masked, count_classes, read_masked

PROBES = ('ridge', 'knn')
"""Classifiers of patches."""


class Vote(NamedTuple):
    """Settings of k-NN: `k` neighbors vote with a `temperature`, among up to `bank_size` patches; all draws use `seed`.

    With `whiten`, images are compared by that many whitened principal components of their features.
    """

    k: int = 20
    temperature: float = 0.07
    bank_size: int = 2**15
    seed: int = 0
    whiten: int | None = None


VOTE = Vote()


def report_accuracy(
    known: tuple[Tensor, Tensor],
    asked: tuple[Tensor, Tensor],
    num_classes: int,
    vote: Vote = VOTE,
    linear_probe: bool = False,
    few_labels: Sequence[str] = (),
    draws: int = 5,
) -> dict:
    """Compute accuracies from features (N, D) and labels (N,), `known` to train on and `asked` to validate on.

    `top1` is the k-NN accuracy. `linear_probe` adds that of a linear probe, `probe_top1`; `few_labels` ('1%', or '5'
    for each class) adds the mean and standard deviation of both over several draws.
    """
    amounts = {text: Few.parse(text) for text in few_labels}

    def knn(train: Tensor, labels: Tensor, val: Tensor, *asked_labels: Tensor) -> float:
        k = vote.k if train is known[0] else min(vote.k, len(train))
        train, val = (train, val) if vote.whiten is None else whiten(train, val, vote.whiten)
        return knn_accuracy(train, labels, val, *asked_labels, k, vote.temperature, num_classes)

    def probe(*parts: Tensor) -> float:
        return probe_accuracy(*parts, num_classes)

    result: dict = dict(top1=knn(*known, *asked))
    if linear_probe:
        result['probe_top1'] = probe(*known, *asked)
    for text, few in amounts.items():
        settings, kinds = (asked, few, num_classes, draws, vote.seed), (('top1', knn), ('probe_top1', probe))
        found = {kind: few_label_accuracy(accuracy, *known, *settings) for kind, accuracy in kinds}
        result.setdefault('few_labels', {})[text] = {kind: one._asdict() for kind, one in found.items()}
    return dict(result, chance=1 / num_classes, k=vote.k, temperature=vote.temperature, whiten=vote.whiten)


def report_segmentation(
    encode: Encode,
    reader: ImageReader,
    train: Masked,
    val: Masked,
    probes: Sequence[str] = ('ridge',),
    num_classes: int | None = None,
    ignore_index: int = 255,
    vote: Vote = VOTE,
    progress: Callable[[Iterable], Iterable] = iter,
) -> dict:
    """Compute how well frozen patch features predict pixel labels, as the `SegmentationScores` of each probe.

    If `num_classes` is not given, it is 1 plus the largest label of the training masks. `progress` wraps the names of
    the images, to show how many are read.
    """
    classes = num_classes or count_classes(train, ignore_index)
    classifiers = dict(ridge=RidgeProbe(classes), knn=NeighborProbe(classes, *vote[:4]))
    parts = (read_masked(progress(part), reader, part, classes, ignore_index) for part in (train, val))
    found = evaluate_dense(encode, *parts, {probe: classifiers[probe] for probe in probes}, ignore_index)
    result = {probe: scores._asdict() for probe, scores in found.items()}
    for scores in result.values():
        scores['iou'] = [None if math.isnan(one) else one for one in scores['iou']]  # JSON has no NaN
        scores['miou_error'] = None if math.isnan(scores['miou_error']) else scores['miou_error']
    return dict(result, num_classes=classes)
