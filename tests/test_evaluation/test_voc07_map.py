"""The average precision of VOC 2007, by hand and against loops."""

import pytest
import torch

from mixmae_mm.evaluation.metrics.voc07_map import ElevenPointPrecision, eleven_point_precision


def test_by_hand():
    # found at ranks 1 and 3 of 4: precision 1 up to recall 0.5, 2/3 above
    scores, shown = torch.tensor([0.9, 0.8, 0.7, 0.1]), torch.tensor([1, 0, 1, 0])
    assert eleven_point_precision(scores, shown) == pytest.approx((6 * 1 + 5 * 2 / 3) / 11)
    assert eleven_point_precision(scores, torch.zeros(4, dtype=torch.long)) == 0


@pytest.mark.parametrize('seed', range(20))
def test_against_loops(seed):
    torch.manual_seed(seed)
    scores, shown = torch.rand(30), torch.rand(30) < 0.3
    shown[seed] = True
    ranked = [bool(shown[i]) for i in scores.argsort(descending=True)]
    curve = [(sum(ranked[: n + 1]) / sum(ranked), sum(ranked[: n + 1]) / (n + 1)) for n in range(30)]
    best = [max(precision for recall, precision in curve if recall >= point / 10 - 1e-9) for point in range(11)]
    assert eleven_point_precision(scores, shown.long()) == pytest.approx(sum(best) / 11, rel=1e-5)


def test_images_in_which_a_class_is_hard_to_see_are_left_out_for_it():
    metric = ElevenPointPrecision()
    samples = [
        dict(pred_score=torch.tensor([0.5, 0.0]), gt_label=torch.tensor([0]), gt_label_difficult=[]),
        dict(pred_score=torch.tensor([0.9, 0.4]), gt_label=torch.tensor([1]), gt_label_difficult=[0]),
    ]
    metric.process(None, samples)
    assert metric.evaluate(2)['multi-label/mAP_11'] == pytest.approx(100 * (1 + 1) / 2)
