"""The average precision that PASCAL VOC 2007 asks for, over 11 points of the curve."""

from collections.abc import Sequence

import torch
from mmengine.evaluator import BaseMetric
from torch import Tensor

from mixmae_mm.registry import METRICS

POINTS = 10  # steps of recall, from 0 to 1


@METRICS.register_module()
class ElevenPointPrecision(BaseMetric):
    """Mean over the classes of VOC 2007's average precision, in per cent (mmpretrain's takes all points of the curve).

    Classes of which an image has only difficult objects (`gt_label_difficult`) are left out for that image.
    """

    default_prefix = 'multi-label'

    def process(self, data_batch: object, data_samples: Sequence[dict]) -> None:
        """Record scores and truth of each image: 1 present, 0 not, -1 left out."""
        for sample in data_samples:
            scores = sample['pred_score'].cpu()
            truth = torch.zeros(len(scores), dtype=torch.long)
            truth[list(sample['gt_label_difficult'])] = -1
            truth[sample['gt_label'].cpu()] = 1
            self.results.append((scores, truth))

    def compute_metrics(self, results: list[tuple[Tensor, Tensor]]) -> dict[str, float]:
        """Average over the classes."""
        scores, truth = (torch.stack(column) for column in zip(*results, strict=True))
        values = [eleven_point_precision(s[t >= 0], t[t >= 0]) for s, t in zip(scores.T, truth.T, strict=True)]
        return {'mAP_11': 100 * sum(values) / len(values)}


def eleven_point_precision(scores: Tensor, present: Tensor) -> float:
    """Average the best precision at recalls from 0, 0.1, ..., 1 on: scores and truth (0 or 1) of a class, (N,)."""
    hits = present[scores.argsort(descending=True, stable=True)].cumsum(dim=0)
    precision = hits / torch.arange(1, len(hits) + 1)
    total = int(present.sum())
    reached = [precision[hits * POINTS >= point * total] for point in range(POINTS + 1)] if total else []
    return sum(float(part.max()) for part in reached) / (POINTS + 1)
