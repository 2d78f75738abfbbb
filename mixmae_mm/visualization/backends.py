"""Backends for the images and numbers of a run, beside mmengine's own."""

import numpy as np
from mmengine.visualization import MLflowVisBackend

from mixmae_mm.registry import VISBACKENDS


@VISBACKENDS.register_module()
class MLflowImagesBackend(MLflowVisBackend):
    """mmengine's MLflow, with images: MLflow wants a file extension in their names, and each step a name of its own.

    Settings are those of `MLflowVisBackend`.
    """

    def add_image(self, name: str, image: np.ndarray, step: int = 0, **kwargs: object) -> None:
        """Keep an image, RGB (H, W, 3), as an artifact `<name>/<step>.png`."""
        super().add_image(f'{name}/{step}.png', image, step, **kwargs)
