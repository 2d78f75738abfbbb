"""The error of a classifier on corrupted images, relative to that of AlexNet."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from mmengine.evaluator import BaseMetric

from mixmae_mm.registry import METRICS
from mixmae_mm.utils.names import printable

ALEXNET = dict(
    gaussian_noise=0.886428, shot_noise=0.894468, impulse_noise=0.922640, defocus_blur=0.819880, glass_blur=0.826268,
    motion_blur=0.785948, zoom_blur=0.798360, snow=0.866816, frost=0.826572, fog=0.819324, brightness=0.564592,
    contrast=0.853204, elastic_transform=0.646056, pixelate=0.717840, jpeg_compression=0.606500,
)  # fmt: skip
"""AlexNet's error on each corruption, averaged over severities, as published with ImageNet-C (arXiv 1903.12261)."""


@METRICS.register_module()
class CorruptionError(BaseMetric):
    """Mean corruption error on ImageNet-C, `mce`, and the error on each corruption, in percent.

    Images are in CORRUPTION/SEVERITY/CLASS. The error on a corruption is the mean of the top-1 errors on its
    severities; `mce` is the mean over corruptions of this error divided by AlexNet's.
    """

    default_prefix = 'corruption'

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Store the corruption and severity of each image, and whether it is misclassified."""
        for sample in data_samples:
            corruption, severity = Path(sample['img_path']).parts[-4:-2]
            if corruption not in ALEXNET:
                path = printable(sample['img_path'])
                raise ValueError(f'{path} names no corruption: its folders should be CORRUPTION/SEVERITY/CLASS')
            self.results.append((corruption, severity, bool((sample['pred_label'] != sample['gt_label']).item())))

    def compute_metrics(self, results: list[tuple[str, str, bool]]) -> dict[str, float]:
        """Compute the errors of the corruptions that occur."""
        wrong = defaultdict(lambda: defaultdict(list))
        for corruption, severity, is_wrong in results:
            wrong[corruption][severity].append(is_wrong)
        errors = {name: mean(mean(map(float, one)) for one in its.values()) for name, its in sorted(wrong.items())}
        mce = mean(error / ALEXNET[name] for name, error in errors.items())
        return {name: 100 * value for name, value in dict(mce=mce, **errors).items()}
