"""Hooks that monitor a model during training without affecting it."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.dist import broadcast_object_list
from mmengine.hooks import Hook
from mmengine.model import BaseModel, is_model_wrapper
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from mixmae_mm.apis.contexts import evaluation_mode
from mixmae_mm.apis.homologous_maps import homologous_maps_of
from mixmae_mm.apis.model import input_size
from mixmae_mm.apis.reconstruction_inferencer import choose_image_files, reconstruct
from mixmae_mm.datasets.image_reader import image_loader_of
from mixmae_mm.datasets.samplers.seeded import choose_images
from mixmae_mm.registry import HOOKS
from mixmae_mm.visualization import describe, draw_homologous, draw_rows


class MonitorHook(Hook):
    """Base class of hooks that examine the model every few epochs and once at the end, on rank 0 only.

    The final weights are bit-equal to those of a run without the hook, because modes and random states are restored.
    Errors are logged, never raised; but before training, a `ValueError` says if images that are named cannot be found.
    Sharded models are not monitored, because a single process cannot run them.

    Args:
        interval: Number of epochs, or of passes through the images in an iteration-based run; 0 disables the hook.
        seed: Seed of all random draws.
    """

    priority = 'VERY_LOW'

    def __init__(self, interval: int = 10, seed: int = 0) -> None:
        self.interval, self.seed = interval, seed

    def monitor(self, runner: Runner, model: nn.Module, step: int) -> str:
        """Examine a model in evaluation mode after `step` iterations, and return a line to log."""
        raise NotImplementedError

    def find(self, runner: Runner) -> None:
        """Find the images that the settings name, without reading them; raise OSError or ValueError if it fails."""

    def before_train(self, runner: Runner) -> None:
        """Choose the model to monitor, if any, and find the images; raise ValueError if that fails."""
        self.model, self.seen_at, failure = None, None, [None]
        if self.interval <= 0:
            return
        if is_model_wrapper(runner.model) and not isinstance(runner.model, DistributedDataParallel):
            if not runner.rank:
                runner.logger.info(f'{type(self).__name__} is disabled: the model is sharded across processes')
            return
        if not runner.rank:
            self.model = getattr(runner.model, 'module', runner.model)
            try:
                self.find(runner)
            except (OSError, TypeError, ValueError) as error:
                failure = [f'{type(self).__name__}: {error}']
        broadcast_object_list(failure)  # the others would wait for a process that has ended
        if failure[0]:
            raise ValueError(failure[0])

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Monitor the model every `interval` epochs."""
        loader = runner.train_loop.dataloader
        batch = loader.batch_sampler.batch_size * runner.world_size
        by_epoch = isinstance(runner.train_loop, EpochBasedTrainLoop)
        epoch = len(loader) if by_epoch else math.ceil(len(loader.dataset) / batch)  # samplers may be infinite
        if self.every_n_train_iters(runner, self.interval * epoch):
            self._take_turn(runner, runner.iter + 1)

    def after_train(self, runner: Runner) -> None:
        """Monitor the model at the end, unless this has just been done."""
        if self.seen_at != runner.iter:
            self._take_turn(runner, runner.iter)

    def _take_turn(self, runner: Runner, step: int) -> None:
        """Monitor the model, if there is one, and log the result, or an error with its traceback."""
        if self.model is None:
            return
        self.seen_at, name = step, type(self).__name__
        try:
            with evaluation_mode(self.model):
                line = self.monitor(runner, self.model, step)
            runner.logger.info(f'{name}: {line} after iteration {step}')
        except Exception:  # no error in monitoring may stop the training
            runner.logger.warning(f'{name} failed after iteration {step} (training continues)', exc_info=True)


@HOOKS.register_module()
class ReconstructionHook(MonitorHook):
    """Hook that draws the same few mixtures every few epochs, as the visualizer's image `reconstructions`.

    With homologous attention it also draws `homologous_map`: the keys that some patches keep, and their sources.

    Args:
        images: Image files and folders; None for crops of training images.
        num: Number of mixtures, one per row.
        settings: Arguments of `MonitorHook`: `interval`, `seed`.
    """

    def __init__(self, images: str | Sequence[str] | None = None, num: int = 4, **settings: int) -> None:
        super().__init__(**settings)
        self.places = [images] if isinstance(images, str) else images
        self.num, self.paths, self.images = num, None, None

    def find(self, runner: Runner) -> None:
        """Choose among the files that `images` names."""
        if self.places:
            sources, extensions = self.model.data_preprocessor.num_sources, image_loader_of(runner.cfg).extensions
            self.paths = choose_image_files(self.places, self.num * sources, sources, self.seed, extensions)

    def monitor(self, runner: Runner, model: BaseModel, step: int) -> str:
        """Draw reconstructions of the same images as before, and pass them to the visualizer."""
        if self.images is None:
            self.images = self._read(runner, model)
        result, preface = reconstruct(model, self.images, self.seed), f'After iteration {step}. '
        grids = dict(reconstructions=draw_rows(result, preface + describe(model, result)))
        if maps := homologous_maps_of(model, self.images, self.seed):
            sources = model.data_preprocessor.num_sources
            grids['homologous_map'] = draw_homologous(maps, sources, self.seed, preface)
        for name, grid in grids.items():
            runner.visualizer.add_image(name, np.array(grid), step)
        return f'{len(result.mixed)} reconstruction(s) drawn'

    def _read(self, runner: Runner, model: BaseModel) -> Tensor:
        """Return as many images as fill whole mixtures: RGB (B, C, H, W)."""
        if self.paths:
            return image_loader_of(runner.cfg).read_all(self.paths, input_size(runner.cfg)).float()
        preprocessor = model.data_preprocessor
        wanted = self.num * preprocessor.num_sources
        chosen = choose_images(runner.train_loop.dataloader.dataset, wanted, self.seed)
        whole = len(chosen) // preprocessor.num_sources * preprocessor.num_sources
        if not whole:
            raise ValueError(f'{len(chosen)} image(s) for mixtures of {preprocessor.num_sources}')
        return (chosen.flip(1) if preprocessor.bgr_to_rgb else chosen)[:whole]
