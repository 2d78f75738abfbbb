"""The quality of the features, measured while a model trains.

Letters: B images, C channels, D features, H x W pixels.
"""

import torch
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import Tensor

from mixmae_mm.apis.model import input_size
from mixmae_mm.datasets.image_reader import ImageReader, reading_of
from mixmae_mm.datasets.sampled_images import choose_images
from mixmae_mm.engine.hooks.monitor import MonitorHook
from mixmae_mm.evaluation import (
    extract,
    feature_std,
    knn_accuracy,
    mean_cosine,
    probe_accuracy,
    rank_me,
    read_labeled,
    split_labeled,
)
from mixmae_mm.registry import HOOKS
from mixmae_mm.utils.validation import check_positive, check_whole

BATCH = 64
Labeled = tuple[Tensor, Tensor]
"""Images, (B, C, H, W), and their labels, (B,)."""


@HOOKS.register_module()
class OnlineEvaluationHook(MonitorHook):
    """Measure the encoder's features every few epochs: with labels by accuracy, without by how widely they spread.

    Features are the mean of the last map of plain images. Of labeled ones `online/knn_top1` and `online/probe_top1`
    are logged, the accuracy of nearest neighbors and of a linear classifier; of any `online/rankme`,
    `online/feature_std` and `online/cosine` (evaluation/functional/feature_stats.py). They go to every backend of
    the visualizer, to the message hub, and into the log.

    The images are the same every time and are kept in memory, 150 kB each at 224 px.

    Args:
        data_root: A folder of class folders, or one with two of these, `train` and `val`; without, there are no labels,
            and the images are crops of training images.
        max_images: How many of the training images are taken, or a twentieth if that is less, but 64 if there are.
        max_labeled: How many of the labeled ones, of which three quarters are learnt from, the rest judges.
        k: Neighbors that vote.
        temperature: Of their votes.
        settings: As of `MonitorHook`: `interval`, `budget`, `seed`.

    Raises:
        ValueError: too few images or neighbors, or a temperature that is not positive.
    """

    def __init__(
        self,
        data_root: str | None = None,
        max_images: int = 1024,
        max_labeled: int = 2000,
        k: int = 20,
        temperature: float = 0.07,
        **settings: float,
    ) -> None:
        super().__init__(**settings)
        check_whole(2, max_images=max_images, max_labeled=max_labeled)
        check_whole(k=k)
        check_positive(temperature=temperature)
        self.data_root, self.max_images, self.max_labeled = data_root, max_images, max_labeled
        self.k, self.temperature = k, temperature

    def prepare(self, runner: Runner, model: BaseModel) -> None:
        """Read the images that are measured every time."""
        self.parts = self._read_labeled(runner, model) if self.data_root else self._take_training(runner)

    def monitor(self, runner: Runner, model: BaseModel, step: int) -> str:
        """Measure, and log the results."""
        features = [self._extract(model, *part) for part in self.parts]
        results = dict(rankme=rank_me(features[0][0]), feature_std=feature_std(features[0][0]))
        results['cosine'] = mean_cosine(features[0][0])
        if self.data_root:
            results |= self._judge(*features)
        scalars = {f'online/{name}': value for name, value in results.items()}
        runner.visualizer.add_scalars(scalars, step)
        for name, value in scalars.items():
            runner.message_hub.update_scalar(name, value)
        numbers = ', '.join(f'{name} {value:.4g}' for name, value in results.items())
        return f'{numbers} after iteration {step}'

    def _read_labeled(self, runner: Runner, model: BaseModel) -> list[Labeled]:
        """Read the labeled images to learn from, and those that judge."""
        reading, flip = reading_of(runner.cfg), model.data_preprocessor.bgr_to_rgb
        *listed, self.num_classes = split_labeled(self.data_root, reading.extensions, self.max_labeled, self.seed)
        read = [read_labeled(part, ImageReader(input_size(runner.cfg), reading)) for part in listed]
        return [(images.flip(1) if flip else images, labels) for images, labels in read]

    def _take_training(self, runner: Runner) -> list[Labeled]:
        """Take training images, with labels that mean nothing."""
        dataset = runner.train_loop.dataloader.dataset
        # of a small set more would take too long
        wanted = min(self.max_images, max(64, len(dataset) // 20)) if hasattr(dataset, '__len__') else 0
        images = choose_images(dataset, wanted, self.seed)
        return [(images, torch.zeros(len(images), dtype=torch.long))]

    def _extract(self, model: BaseModel, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Compute features (B, D), with labels (B,) beside them."""
        batches = zip(images.split(BATCH), labels.split(BATCH), strict=True)
        return extract(model.backbone, model.data_preprocessor.normalize, batches)

    def _judge(self, known: tuple[Tensor, Tensor], asked: tuple[Tensor, Tensor]) -> dict[str, float]:
        """Compute the accuracy of k-NN and a linear classifier that know one part, on the other."""
        neighbors = min(self.k, len(known[0])), self.temperature, self.num_classes
        probe = probe_accuracy(*known, *asked, self.num_classes)
        return dict(knn_top1=knn_accuracy(*known, *asked, *neighbors), probe_top1=probe)
