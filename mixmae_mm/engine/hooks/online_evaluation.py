"""What the features are worth, told while a model trains.

Letters: B pictures, C channels, D features, H x W pixels.
"""

import torch
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import Tensor

from mixmae_mm.apis.model import picture_size
from mixmae_mm.datasets.image_reader import PictureReader
from mixmae_mm.datasets.read_images import reading_of
from mixmae_mm.datasets.sampled_images import choose_pictures
from mixmae_mm.engine.hooks.monitor import WatchingHook
from mixmae_mm.evaluation import (
    extract,
    feature_spread,
    knn_accuracy,
    mean_cosine,
    probe_accuracy,
    rank_me,
    read_labelled,
    split_labelled,
)
from mixmae_mm.registry import HOOKS
from mixmae_mm.utils.validation import check_positive, check_whole

BATCH = 64
Labelled = tuple[Tensor, Tensor]
"""Pictures, (B, C, H, W), and their labels, (B,)."""


@HOOKS.register_module()
class OnlineEvaluationHook(WatchingHook):
    """Measure the encoder's features every few epochs: by labels if there are any, and by how widely they spread.

    Features are the mean of the last map of plain pictures. Of labelled ones `online/knn_top1` and `online/probe_top1`
    are told, the share that nearest neighbours and a linear classifier get right; of any `online/rankme`,
    `online/spread` and `online/cosine` (mixmae_mm/evaluation/functional/feature_stats.py). They go to every backend of
    the visualiser, to the message hub, and into the log.

    The pictures are the same every time and are kept in memory, 150 kB each at 224 px.

    Args:
        data_root: A folder of class folders, or one with two of these, `train` and `val`; without, there are no labels,
            and the pictures are crops of training pictures.
        max_pictures: How many of the training pictures are taken, or a twentieth if that is less, but 64 if there are.
        max_labelled: How many of the labelled ones, of which three quarters are learnt from, the rest judges.
        k: Neighbours that vote.
        temperature: Of their votes.
        settings: As of `WatchingHook`: `interval`, `budget`, `seed`.

    Raises:
        ValueError: too few pictures or neighbours, or a temperature that is not positive.
    """

    def __init__(
        self,
        data_root: str | None = None,
        max_pictures: int = 1024,
        max_labelled: int = 2000,
        k: int = 20,
        temperature: float = 0.07,
        **settings: float,
    ) -> None:
        super().__init__(**settings)
        check_whole(2, max_pictures=max_pictures, max_labelled=max_labelled)
        check_whole(k=k)
        check_positive(temperature=temperature)
        self.data_root, self.max_pictures, self.max_labelled = data_root, max_pictures, max_labelled
        self.k, self.temperature = k, temperature

    def prepare(self, runner: Runner, model: BaseModel) -> None:
        """Read the pictures that are measured every time."""
        self.parts = self._read_labelled(runner, model) if self.data_root else self._take_training(runner)

    def watch(self, runner: Runner, model: BaseModel, step: int) -> str:
        """Measure, and tell everybody."""
        features = [self._extract(model, *part) for part in self.parts]
        told = dict(rankme=rank_me(features[0][0]), spread=feature_spread(features[0][0]))
        told['cosine'] = mean_cosine(features[0][0])
        if self.data_root:
            told |= self._judge(*features)
        scalars = {f'online/{name}': value for name, value in told.items()}
        runner.visualizer.add_scalars(scalars, step)
        for name, value in scalars.items():
            runner.message_hub.update_scalar(name, value)
        numbers = ', '.join(f'{name} {value:.4g}' for name, value in told.items())
        return f'{numbers} after iteration {step}'

    def _read_labelled(self, runner: Runner, model: BaseModel) -> list[Labelled]:
        """Read the labelled pictures to learn from, and those that judge."""
        reading, flip = reading_of(runner.cfg), model.data_preprocessor.bgr_to_rgb
        *listed, self.num_classes = split_labelled(self.data_root, reading.endings, self.max_labelled, self.seed)
        read = [read_labelled(part, PictureReader(picture_size(runner.cfg), reading)) for part in listed]
        return [(pictures.flip(1) if flip else pictures, labels) for pictures, labels in read]

    def _take_training(self, runner: Runner) -> list[Labelled]:
        """Take training pictures, with labels that mean nothing."""
        dataset = runner.train_loop.dataloader.dataset
        # of a small set more would take too long
        wanted = min(self.max_pictures, max(64, len(dataset) // 20)) if hasattr(dataset, '__len__') else 0
        pictures = choose_pictures(dataset, wanted, self.seed)
        return [(pictures, torch.zeros(len(pictures), dtype=torch.long))]

    def _extract(self, model: BaseModel, pictures: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Compute features (B, D), with labels (B,) beside them."""
        batches = zip(pictures.split(BATCH), labels.split(BATCH), strict=True)
        return extract(model.backbone, model.data_preprocessor.normalise, batches)

    def _judge(self, known: tuple[Tensor, Tensor], asked: tuple[Tensor, Tensor]) -> dict[str, float]:
        """Let neighbours and a linear classifier learn from one part and answer for the other."""
        neighbours = min(self.k, len(known[0])), self.temperature, self.num_classes
        probe = probe_accuracy(*known, *asked, self.num_classes)
        return dict(knn_top1=knn_accuracy(*known, *asked, *neighbours), probe_top1=probe)
