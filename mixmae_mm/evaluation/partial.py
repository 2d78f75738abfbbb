"""Metrics over the samples that could be read."""

from collections.abc import Sequence
from typing import Any

from mmengine.dist import all_gather_object
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.structures import BaseDataElement

NAME = 'left_out'
"""Key of the number of samples left out, which is logged beside the metrics if there are any."""


class PartialEvaluator(Evaluator):
    """mmengine's evaluator, but samples that replace corrupt ones are kept out of the metrics and counted.

    Corrupt images do not count as wrong either: their objects in the JSON file of a COCO metric are left out too.
    """

    def __init__(self, metrics: dict | BaseMetric | Sequence) -> None:
        super().__init__(metrics)
        self.left_out: list[dict] = []

    def process(self, data_samples: Sequence[BaseDataElement], data_batch: Any = None) -> None:
        """Process the samples, without replacements of corrupt ones."""
        lost = [sample for sample in data_samples if isinstance(sample, BaseDataElement) and NAME in sample]
        self.left_out += [sample.get(NAME) for sample in lost]
        if kept := [sample for sample in data_samples if not any(sample is one for one in lost)]:
            super().process(kept, data_batch)

    def evaluate(self, size: int) -> dict:
        """Evaluate, and add the number of samples that were left out."""
        lost = [sample for part in all_gather_object(self.left_out) for sample in part]
        self.left_out = []
        for metric in self.metrics:
            if getattr(metric, '_coco_api', None) is not None:
                gone = {sample.get('img_id') for sample in lost}
                metric.img_ids = [number for number in metric._coco_api.getImgIds() if number not in gone]
        results = super().evaluate(size)
        return results | {NAME: len(lost)} if lost else results
