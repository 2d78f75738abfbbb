"""Drawings of images of equal names from different folders, each in a file of its own."""

import os

from mmengine.runner import Runner
from mmengine.structures import BaseDataElement
from mmengine.visualization import Visualizer


class DistinctFiles:
    """Stand in for a visualizer of a downstream library, whose hooks name drawings after images without their folders.

    The first drawing of a name has it, those of other images of this name get `-2`, `-3` and so on.

    Args:
        visualizer: What draws.
    """

    def __init__(self, visualizer: Visualizer) -> None:
        self.visualizer = visualizer
        self.owners: dict[str, str] = {}

    def __getattr__(self, name: str) -> object:
        """Return all else that the visualizer has."""
        if name == 'visualizer':  # not there yet while a copy is made
            raise AttributeError(name)
        return getattr(self.visualizer, name)

    def add_datasample(self, name: str, *images: object, data_sample: BaseDataElement, **settings: object) -> None:
        """Draw, as mmdet and mmseg ask, into a file of its own."""
        name, settings = self._apart(name, data_sample, settings)
        self.visualizer.add_datasample(name, *images, data_sample=data_sample, **settings)

    def visualize_cls(self, *, name: str, data_sample: BaseDataElement, **settings: object) -> None:
        """Draw, as mmpretrain asks, into a file of its own."""
        name, settings = self._apart(name, data_sample, settings)
        self.visualizer.visualize_cls(name=name, data_sample=data_sample, **settings)

    def _apart(self, name: str, sample: BaseDataElement, settings: dict) -> tuple[str, dict]:
        """Return a name, and settings with a file, that no other image has."""
        image, file = str(sample.get('img_path')), settings.get('out_file')
        if file is None:
            return self._own(name, image), settings
        return name, settings | dict(out_file=self._own(file, image))

    def _own(self, name: str, image: str) -> str:
        """Add a number to a name that another image has."""
        stem, extension = os.path.splitext(name)
        number, own = 1, name
        while self.owners.setdefault(own, image) != image:
            number += 1
            own = f'{stem}-{number}{extension}'
        return own


def keep_apart(runner: Runner) -> None:
    """Have all hooks of a runner that draw predictions give each image a file of its own."""
    for hook in runner.hooks:
        if hasattr(hook, '_visualizer'):
            hook._visualizer = DistinctFiles(hook._visualizer)
