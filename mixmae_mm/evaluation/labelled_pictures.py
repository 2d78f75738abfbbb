"""Labelled pictures, a folder a class, and their features.

Letters: B pictures, C channels, D features, H x W pixels.
"""

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor, nn

from mixmae_mm.datasets import LoadPicture, PictureFolder


def open_pictures(folder: str, classes: list[str], size: tuple[int, int], channels: int = 3) -> PictureFolder:
    """Open a folder of class folders: samples (uint8 (C, H, W), label), cropped in the middle to `size` = (H, W).

    They are RGB, or grey with one channel.

    Raises:
        ValueError: there is no picture, or one outside the folders of `classes`.
    """
    labels = {name: label for label, name in enumerate(classes)}
    root = Path(folder).expanduser()

    def prepare(results: dict) -> tuple[Tensor, int]:
        picture = ImageOps.fit(Image.fromarray(results['img']), size[::-1], Image.Resampling.BICUBIC)
        name = Path(results['img_path']).relative_to(root).parts[0]
        return torch.from_numpy(np.array(picture).reshape(*size, channels)).permute(2, 0, 1), labels[name]

    dataset = PictureFolder(folder, [LoadPicture('L' if channels == 1 else 'RGB'), prepare])
    paths = (Path(dataset.get_data_info(i)['img_path']).relative_to(root) for i in range(len(dataset)))
    stray = next((path for path in paths if path.parts[0] not in labels), None)
    if stray is not None:
        raise ValueError(f'{stray} in {folder} is in none of the class folders {", ".join(classes[:10])}')
    return dataset


@torch.no_grad()
def extract(
    encoder: nn.Module, normalise: Callable[[Tensor], Tensor], batches: Iterable[tuple[Tensor, Tensor]]
) -> tuple[Tensor, Tensor]:
    """Compute the mean of the last map of each picture; labels go along: two of (B, D) and (B,)."""
    device = next(encoder.parameters()).device
    features, labels = [], []
    for pictures, label in batches:
        features.append(encoder(normalise(pictures.to(device).float()))[-1].mean((2, 3)))
        labels.append(label.to(device))
    return torch.cat(features), torch.cat(labels)
