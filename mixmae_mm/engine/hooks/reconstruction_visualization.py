"""Reconstructions to look at while a model trains.

Letters: B images, C channels, H x W pixels.
"""

from collections.abc import Sequence

import numpy as np
from mmengine.model import BaseModel
from mmengine.runner import Runner
from PIL import Image
from torch import Tensor

from mixmae_mm.apis.homologous_maps import recognize
from mixmae_mm.apis.model import input_size
from mixmae_mm.apis.reconstruction_inferencer import find_images, reconstruct
from mixmae_mm.datasets.image_reader import reading_of
from mixmae_mm.datasets.sampled_images import choose_images
from mixmae_mm.engine.hooks.monitor import MonitorHook
from mixmae_mm.registry import HOOKS
from mixmae_mm.utils.validation import check_whole
from mixmae_mm.visualization import describe, draw_homologous, draw_rows


@HOOKS.register_module()
class ReconstructionHook(MonitorHook):
    """Draw the same few mixtures every few epochs, for every backend of the visualizer.

    The image grid is `reconstructions`; a model with homologous attention also gets a `homologous_map`, which shows
    the keys that some patches keep, and whose they are.

    Args:
        images: Files and folders to take the images from; without, they are crops of training images.
        num: Rows, a mixture each.
        settings: As of `MonitorHook`: `interval`, `budget`, `seed`.

    Raises:
        ValueError: less than one row.
    """

    def __init__(self, images: str | Sequence[str] | None = None, num: int = 4, **settings: float) -> None:
        super().__init__(**settings)
        check_whole(num=num)
        self.places = [images] if isinstance(images, str) else images
        self.num = num

    def prepare(self, runner: Runner, model: BaseModel) -> None:
        """Find the images that are drawn every time."""
        self.images = self._find(runner, model)

    def monitor(self, runner: Runner, model: BaseModel, step: int) -> str:
        """Draw reconstructions and hand them to the backends."""
        result = reconstruct(model, self.images, self.seed)
        preface = f'After iteration {step}. '
        self._show(runner, 'reconstructions', draw_rows(result, preface + describe(model, result)), step)
        recognition = recognize(model, self.images, self.seed)
        if recognition is not None:
            grid = draw_homologous(recognition, model.data_preprocessor.num_sources, self.seed, preface)
            self._show(runner, 'homologous_map', grid, step)
        return f'{len(result.mixed)} reconstruction(s) drawn after iteration {step}'

    def _find(self, runner: Runner, model: BaseModel) -> Tensor:
        """Take images, RGB (B, C, H, W), as many as fill whole mixtures."""
        preprocessor = model.data_preprocessor
        wanted = self.num * preprocessor.num_sources
        if self.places:
            reading = reading_of(runner.cfg)
            paths = find_images(self.places, wanted, preprocessor.num_sources, self.seed, reading.extensions)
            return reading.read_all(paths, input_size(runner.cfg)).float()
        chosen = choose_images(runner.train_loop.dataloader.dataset, wanted, self.seed)
        whole = len(chosen) // preprocessor.num_sources * preprocessor.num_sources
        if not whole:
            raise ValueError(f'{len(chosen)} image(s) cannot be mixed by {preprocessor.num_sources}')
        return (chosen.flip(1) if preprocessor.bgr_to_rgb else chosen)[:whole]

    def _show(self, runner: Runner, name: str, grid: Image.Image, step: int) -> None:
        """Hand an image grid to every backend."""
        runner.visualizer.add_image(name, np.array(grid), step)
