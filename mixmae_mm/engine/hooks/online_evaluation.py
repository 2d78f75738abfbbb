"""A hook that evaluates the encoder's features during training."""

import torch
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import Tensor

from mixmae_mm import evaluation
from mixmae_mm.apis.model import input_size
from mixmae_mm.datasets.image_reader import ImageReader, image_loader_of
from mixmae_mm.datasets.samplers.seeded import choose_images
from mixmae_mm.engine.hooks.monitor import MonitorHook
from mixmae_mm.registry import HOOKS

BATCH = 64


@HOOKS.register_module()
class OnlineEvaluationHook(MonitorHook):
    """Hook that evaluates the encoder's features every few epochs, always on the same images, kept in memory.

    It always logs `online/rankme`, `online/feature_std` and `online/cosine` (see docs/visualize.md). With labeled
    images it also logs `online/knn_top1` and `online/probe_top1`, the accuracies of k-NN and of a linear probe; with
    images and masks `online/seg_miou`, the mIoU of ridge regression on patch features.

    Args:
        data_root: Folder of class folders, or of `train` and `val` with them; None for crops of training images.
        max_images: Maximum number of training images; in a small dataset a twentieth of them, or 64 if that is more.
        max_labeled: Maximum number of images with labels, or with masks; three quarters train, the rest validate.
        k: Number of neighbors that vote in k-NN.
        temperature: Temperature of their votes.
        segmentation: Images with masks: `dict(images=FOLDER, masks=FOLDER)`, both folders with or without subfolders
            `train` and `val`. It may also hold arguments of `pair_masks`, and `ignore_index`, 255 if omitted.
        settings: Arguments of `MonitorHook`: `interval`, `seed`.
    """

    def __init__(
        self,
        data_root: str | None = None,
        max_images: int = 1024,
        max_labeled: int = 2000,
        k: int = 20,
        temperature: float = 0.07,
        segmentation: dict | None = None,
        **settings: int,
    ) -> None:
        super().__init__(**settings)
        self.data_root, self.max_images, self.max_labeled = data_root, max_images, max_labeled
        self.k, self.temperature, self.parts = k, temperature, None
        self.segmentation, self.scenes = segmentation, None

    def find(self, runner: Runner) -> None:
        """List the labeled images, and pair those for segmentation with their masks."""
        image_loader = image_loader_of(runner.cfg)
        if self.data_root:
            settings = self.data_root, image_loader.extensions, self.max_labeled, self.seed
            *self.labeled, self.num_classes = evaluation.split_labeled(*settings)
        if self.segmentation:
            names = dict(self.segmentation)
            self.ignored = names.pop('ignore_index', 255)
            settings = dict(extensions=image_loader.extensions, max_images=self.max_labeled, seed=self.seed)
            self.pairs = evaluation.split_masked(**names, **settings)

    def monitor(self, runner: Runner, model: BaseModel, step: int) -> str:
        """Evaluate the features of the same images as before, and log the results."""
        if self.parts is None:
            self.parts = self._read_labeled(runner, model) if self.data_root else self._take_training(runner)
        normalize = model.data_preprocessor.normalize
        batches = [zip(*(x.split(BATCH) for x in part), strict=True) for part in self.parts]
        known, *asked = (evaluation.extract(model.backbone, normalize, part) for part in batches)
        results = dict(rankme=evaluation.rank_me(known[0]), feature_std=evaluation.feature_std(known[0]))
        results['cosine'] = evaluation.mean_cosine(known[0])
        if self.data_root:
            neighbors = min(self.k, len(known[0])), self.temperature, self.num_classes
            results['knn_top1'] = evaluation.knn_accuracy(*known, *asked[0], *neighbors)
            results['probe_top1'] = evaluation.probe_accuracy(*known, *asked[0], self.num_classes)
        if self.segmentation:
            results['seg_miou'] = self._segment(runner, model)
        runner.visualizer.add_scalars({f'online/{name}': value for name, value in results.items()}, step)
        for name, value in results.items():
            runner.message_hub.update_scalar(f'online/{name}', value)
        return ', '.join(f'{name} {value:.4g}' for name, value in results.items())

    def _read_labeled(self, runner: Runner, model: BaseModel) -> list[tuple[Tensor, Tensor]]:
        """Read the labeled images (B, C, H, W) for training and for validation, with their labels (B,)."""
        image_loader, flip = image_loader_of(runner.cfg), model.data_preprocessor.bgr_to_rgb
        reader = ImageReader(input_size(runner.cfg), image_loader)
        read = [evaluation.read_labeled(part, reader) for part in self.labeled]
        return [(images.flip(1) if flip else images, labels) for images, labels in read]

    def _take_training(self, runner: Runner) -> list[tuple[Tensor, Tensor]]:
        """Return training images with dummy labels."""
        dataset = runner.train_loop.dataloader.dataset
        # more images of a small dataset would take too long compared with its epochs
        images = choose_images(dataset, min(self.max_images, max(64, len(dataset) // 20)), self.seed)
        return [(images, torch.zeros(len(images), dtype=torch.long))]

    def _segment(self, runner: Runner, model: BaseModel) -> float:
        """Compute the mIoU of ridge regression on the last feature map."""
        if self.scenes is None:
            reader = ImageReader(input_size(runner.cfg), image_loader_of(runner.cfg), BATCH)
            self.classes = evaluation.count_classes(self.pairs[0] | self.pairs[1], self.ignored)
            read = (evaluation.read_masked(one, reader, one, self.classes, self.ignored) for one in self.pairs)
            self.scenes = [[(images, labels.byte()) for images, labels in part] for part in read]
        preprocessor, device = model.data_preprocessor, next(model.backbone.parameters()).device

        def encode(images: Tensor) -> tuple[Tensor, ...]:
            ordered = images.flip(1) if preprocessor.bgr_to_rgb else images
            return model.backbone(preprocessor.normalize(ordered.to(device).float()))[-1:]

        probes = dict(ridge=evaluation.RidgeProbe(self.classes))
        scenes = (((images, labels.long()) for images, labels in part) for part in self.scenes)
        return evaluation.evaluate_dense(encode, *scenes, probes, self.ignored)['ridge'].miou
