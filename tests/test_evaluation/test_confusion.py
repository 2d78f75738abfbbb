import math

import pytest
import torch

from mixmae_mm.evaluation.functional.confusion import confusion_matrix, segmentation_scores
from mixmae_mm.evaluation.functional.dense_probe import label_counts


def test_counts_and_scores_equal_the_loops():
    generator = torch.Generator().manual_seed(0)
    predicted, labels = (torch.randint(0, 4, (9, 11), generator=generator) for _ in range(2))
    labels[torch.rand(9, 11, generator=generator) < 0.2] = 255
    expected = [[0] * 4 for _ in range(4)]
    for label, guess in zip(labels.flatten().tolist(), predicted.flatten().tolist(), strict=True):
        if label != 255:
            expected[label][guess] += 1
    matrix = confusion_matrix(predicted, labels, 4, 255)
    assert matrix.tolist() == expected
    iou = []
    for one in range(4):
        pairs = [(i, j) for i in range(4) for j in range(4) if one in (i, j)]
        iou.append(expected[one][one] / sum(expected[i][j] for i, j in pairs))
    scores = segmentation_scores(matrix[None])
    assert scores.iou == pytest.approx(iou)
    assert scores.miou == pytest.approx(sum(iou) / 4)
    assert scores.pixel_accuracy == pytest.approx(sum(expected[i][i] for i in range(4)) / (labels != 255).sum().item())


@pytest.mark.parametrize('dtype', [torch.uint8, torch.int16, torch.int32])
def test_labels_may_be_of_any_integer_type(dtype):
    labels = torch.arange(21).repeat(3, 2)
    labels[0, :5] = 255
    expected = confusion_matrix(labels % 21, labels, 21, 255)
    assert expected.sum() == 121
    assert torch.equal(confusion_matrix(labels % 21, labels.to(dtype), 21, 255), expected)


@pytest.mark.parametrize('label', [-1, 4, 254])
def test_labels_of_no_class_are_refused(label):
    labels = torch.tensor([[0, label], [255, 3]])
    match = f'labels are .*{label}.*, but there are 4 classes, and 255 is ignored'
    with pytest.raises(ValueError, match=match):
        confusion_matrix(torch.zeros(2, 2, dtype=torch.int64), labels, 4, 255)
    with pytest.raises(ValueError, match=match):
        label_counts(labels, (1, 1), 4, 255)


def test_by_hand_classes_that_occur_nowhere_do_not_count():
    scores = segmentation_scores(torch.tensor([[[3, 1, 0], [0, 0, 0], [0, 0, 0]]]))
    assert (scores.miou, scores.iou[:2], scores.pixel_accuracy) == (0.375, (0.75, 0.0), 0.75)
    assert math.isnan(scores.iou[2])
    with pytest.raises(ValueError, match='no labeled pixels'):
        segmentation_scores(torch.zeros(1, 2, 2))


def test_the_standard_error_is_that_of_leaving_out_each_part_in_turn():
    matrices = torch.randint(1, 50, (7, 3, 3), generator=torch.Generator().manual_seed(1))
    without = [segmentation_scores((matrices.sum(0) - one)[None]).miou for one in matrices]
    mean = sum(without) / 7
    expected = (6 / 7 * sum((one - mean) ** 2 for one in without)) ** 0.5
    assert segmentation_scores(matrices).miou_error == pytest.approx(expected)
    assert math.isnan(segmentation_scores(matrices[:1]).miou_error)


def test_the_standard_error_is_close_to_how_much_the_score_varies_from_sample_to_sample():
    generator = torch.Generator().manual_seed(2)
    images = torch.poisson(20 * torch.rand(200, 40, 3, 3, generator=generator), generator=generator)
    scores = [segmentation_scores(sample) for sample in images]
    varies = torch.tensor([one.miou for one in scores]).std()
    assert torch.tensor([one.miou_error for one in scores]).mean() == pytest.approx(float(varies), rel=0.2)
