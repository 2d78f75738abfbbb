"""Samples that stand in for broken ones do not reach the metrics."""

from types import SimpleNamespace

from mmengine.evaluator import BaseMetric
from mmengine.structures import BaseDataElement

from mixmae_mm.evaluation.partial import PartialEvaluator


class Sum(BaseMetric):
    """Adds up what it is given."""

    def process(self, data_batch, data_samples):
        self.results += [sample['value'] for sample in data_samples]

    def compute_metrics(self, results):
        return dict(sum=sum(results), number=len(results))


def sample(value, **metainfo):
    return BaseDataElement(value=value, metainfo=metainfo)


def test_what_stands_in_is_left_out_and_counted_in_each_evaluation_anew():
    evaluator = PartialEvaluator([Sum(), Sum(prefix='other')])
    lost = dict(left_out=dict(img_path='x.png', img_id=None))
    evaluator.process([sample(1), sample(10, **lost), sample(100)])
    evaluator.process([sample(1000, **lost)])
    assert evaluator.evaluate(4) == {'sum': 101, 'number': 2, 'other/sum': 101, 'other/number': 2, 'left_out': 2}
    evaluator.process([sample(3)])
    assert evaluator.evaluate(1) == {'sum': 3, 'number': 1, 'other/sum': 3, 'other/number': 1}


def test_objects_of_broken_images_are_no_misses():
    metric = Sum()
    metric._coco_api, metric.img_ids = SimpleNamespace(getImgIds=lambda: [4, 5, 6]), None
    evaluator = PartialEvaluator([metric])
    evaluator.process([sample(1), sample(1, left_out=dict(img_path='x.png', img_id=5))])
    evaluator.evaluate(3)
    assert metric.img_ids == [4, 6]
    evaluator.process([sample(1)])
    evaluator.evaluate(3)
    assert metric.img_ids == [4, 5, 6]
