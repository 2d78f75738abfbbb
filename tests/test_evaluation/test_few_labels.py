import statistics

import pytest
import torch

from mixmae_mm.evaluation import Few, few_label_accuracy, report_accuracy
from mixmae_mm.evaluation.functional.few_labels import draw_few

LABELS = torch.tensor([0] * 100 + [1] * 40 + [3] * 10)[torch.randperm(150, generator=torch.Generator().manual_seed(0))]


@pytest.mark.parametrize(
    ('text', 'expected'),
    [('10%', [10, 4, 0, 1]), ('1%', [1, 1, 0, 1]), ('100%', [100, 40, 0, 10]), ('5', [5, 5, 0, 5])],
)
def test_each_class_gives_its_part(text, expected):
    drawn = draw_few(LABELS, Few.parse(text), 4, seed=0)
    assert LABELS[drawn].bincount(minlength=4).tolist() == expected
    assert len(drawn.unique()) == len(drawn)


def test_draws_differ_and_come_again():
    first, again, other = (draw_few(LABELS, Few(0.1), 4, seed) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_mean_and_deviation_are_those_of_the_draws():
    features, seen = torch.arange(150.0)[:, None], []

    def accuracy(x, labels, asked, truth):
        assert torch.equal(labels, LABELS[x[:, 0].long()])
        seen.append(float(x.mean()) / 150)
        return seen[-1]

    found = few_label_accuracy(accuracy, features, LABELS, (features, LABELS), Few(0.1), 4, draws=4)
    assert found == pytest.approx((statistics.mean(seen), statistics.stdev(seen)))
    assert len(set(seen)) == 4


def test_with_all_labels_each_draw_is_the_accuracy_itself():
    generator = torch.Generator().manual_seed(0)
    known = torch.randn(150, 8, generator=generator) + torch.eye(4, 8)[LABELS], LABELS
    asked = torch.randn(90, 8, generator=generator) + torch.eye(4, 8)[LABELS[:90]], LABELS[:90]
    report = report_accuracy(known, asked, 4, linear_probe=True, few_labels=['100%', '1'], draws=3)
    for kind in ('top1', 'probe_top1'):
        assert report['few_labels']['100%'][kind] == pytest.approx(dict(mean=report[kind], std=0))
        assert 0.25 < report['few_labels']['1'][kind]['mean'] < report[kind]
        assert report['few_labels']['1'][kind]['std'] > 0


@pytest.mark.parametrize('text', ['0', '-3', '0%', '101%', 'some', '2.5', 'nan%'])
def test_what_is_no_amount_is_refused(text):
    with pytest.raises(ValueError, match=f"^'{text}' .*: give a share such as 1%"):
        Few.parse(text)


def test_more_labels_than_there_are_and_a_single_draw_are_refused():
    with pytest.raises(ValueError, match='^11 labels per class .* only 10$'):
        draw_few(LABELS, Few(number=11), 4, 0)
    with pytest.raises(ValueError, match=r'^1 draw\(s\) have no standard deviation'):
        few_label_accuracy(lambda *_: 0, LABELS[:, None], LABELS, (LABELS, LABELS), Few(0.1), 4, draws=1)
