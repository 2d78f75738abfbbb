"""Per-pixel weights of the reconstruction loss, read from files."""

import os
from pathlib import Path

import numpy as np
from mmcv.transforms import BaseTransform

from mixmae_mm.datasets.transforms.load_image import CorruptImageError, LoadImage
from mixmae_mm.datasets.transforms.multispectral import LoadMultispectral
from mixmae_mm.registry import TRANSFORMS
from mixmae_mm.utils.names import printable


@TRANSFORMS.register_module()
class LoadWeights(BaseTransform):
    """Read a weight map and append it to `img` (H, W, C) as the last channel, so that it is cropped and flipped too.

    For `MixingDataPreprocessor(weights='last_channel')`. Comes after the transform that reads the whole image. A weight
    is an 8-bit gray value, or any number in a TIFF or .npy file; only the ratios of weights matter. An image without a
    map of the same size counts as corrupt.

    Args:
        images: Folder of the images.
        maps: Folder of the maps, in the same subfolders and under the same names as the images.
        suffix: What replaces an image's extension in the name of its map: '.png', '_mask.png'.
    """

    def __init__(self, images: str, maps: str, suffix: str = '.png') -> None:
        self.images, self.maps, self.suffix = images, maps, suffix
        self.load = LoadMultispectral() if suffix.endswith(LoadMultispectral.extensions) else LoadImage('L')

    def transform(self, results: dict) -> dict:
        """Append the map; raise `CorruptImageError` if it cannot be read or does not fit the image."""
        path = Path(self.maps, os.path.relpath(results['img_path'], self.images))
        path = path.with_name(path.stem + self.suffix)
        pixels, weights = results['img'], self.load.transform(dict(img_path=str(path)))['img']
        if weights.shape[:2] != pixels.shape[:2] or weights[0, 0].size != 1:
            wanted = f'{pixels.shape[:2]} and one channel'
            raise CorruptImageError(f'{printable(str(path))}: it is {weights.shape}, expected {wanted}')
        parts = (part.reshape(*part.shape[:2], -1) for part in (pixels, weights))
        results['img'] = np.concatenate([*parts], axis=2)
        return results
