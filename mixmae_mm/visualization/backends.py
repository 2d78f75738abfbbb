"""Visualization backends for the images and scalars of a run, in addition to mmengine's."""

import numpy as np
from mmengine.visualization import MLflowVisBackend

from mixmae_mm.registry import VISBACKENDS


@VISBACKENDS.register_module()
class MLflowImagesBackend(MLflowVisBackend):
    """mmengine's MLflow backend, with images: their names need a file extension, and each step needs its own name.

    The arguments are those of `MLflowVisBackend`.
    """

    def add_image(self, name: str, image: np.ndarray, step: int = 0, **kwargs: object) -> None:
        """Log an image, RGB (H, W, 3), as an artifact `<name>/<step>.png`."""
        super().add_image(f'{name}/{step}.png', image, step, **kwargs)
