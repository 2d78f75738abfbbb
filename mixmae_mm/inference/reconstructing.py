"""Reconstructions of chosen pictures.

Letters: B pictures, C channels, H x W pixels.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from mmengine.model import BaseModel
from PIL import Image, ImageOps
from torch import Tensor

from mixmae_mm.datasets import LoadPicture, PictureFolder
from mixmae_mm.models.pretrainer import Reconstructions
from mixmae_mm.seeding import seed_everything


def find_pictures(places: Sequence[str], wanted: int, num_sources: int, seed: int) -> list[str]:
    """List the pictures to show: those named, and those below folders; if more than wanted, a seeded choice of them.

    Raises:
        ValueError: a place does not exist, or there are fewer pictures than sources in a mixture.
    """
    found = [path for place in places for path in ([place] if Path(place).is_file() else _below(place))]
    if len(found) > wanted:
        chosen = np.random.default_rng(seed).choice(len(found), wanted, replace=False)
        found = [found[i] for i in chosen]
    if len(found) < num_sources:
        raise ValueError(f'{len(found)} picture(s) cannot be mixed by {num_sources}: give {num_sources} or more')
    return found[: len(found) // num_sources * num_sources]


def _below(folder: str) -> list[str]:
    """List the pictures below a folder."""
    dataset = PictureFolder(folder)
    return [dataset.get_data_info(i)['img_path'] for i in range(len(dataset))]


def read_pictures(paths: Sequence[str], size: tuple[int, int], channels: int) -> Tensor:
    """Read pictures, scaled and cropped in the middle to `size` = (H, W): float (B, C, H, W), 0 to 255.

    Raises:
        ValueError: pictures cannot be read, or have other channels than grey or RGB.
    """
    if channels not in (1, 3):
        raise ValueError(f'pictures of 1 or 3 channels can be drawn, this model takes {channels}')
    load = LoadPicture('L' if channels == 1 else 'RGB')
    images = (Image.fromarray(load.transform(dict(img_path=path))['img']) for path in paths)
    arrays = [np.array(ImageOps.fit(image, size[::-1], Image.Resampling.BICUBIC)) for image in images]
    return torch.from_numpy(np.stack(arrays).reshape(len(arrays), *size, channels)).permute(0, 3, 1, 2).float()


@torch.no_grad()
def reconstruct(model: BaseModel, pictures: Tensor, seed: int) -> Reconstructions:
    """Mix pictures (B, C, H, W), RGB, and reconstruct them: one mixture a group, led by its first picture."""
    seed_everything(seed)
    preprocessor = model.data_preprocessor
    pictures = pictures.flip(1) if preprocessor.bgr_to_rgb else pictures
    result = model(**preprocessor({'inputs': pictures}, training=False), mode='predict')
    turns = preprocessor.num_sources if preprocessor.take_turns else 1
    grids = result.assignment[::turns]
    return Reconstructions(result.sources[::turns], result.mixed[::turns], result.reconstructed[::turns], grids)
