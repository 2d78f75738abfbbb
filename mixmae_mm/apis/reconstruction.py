"""Reconstructions of chosen images.

Letters: B images, C channels, H x W pixels.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from mmengine.model import BaseModel
from torch import Tensor, nn

from mixmae_mm.datasets import ImageFolder
from mixmae_mm.mixing import MixedImages
from mixmae_mm.structures import Reconstructions
from mixmae_mm.utils.names import expand
from mixmae_mm.utils.seed import seeded


def find_images(
    places: Sequence[str], wanted: int, num_sources: int, seed: int, extensions: tuple[str, ...] | None = None
) -> list[str]:
    """List the images to show: those named, and those below folders; if more than wanted, a seeded choice of them.

    `extensions` are those of images' names, None for the usual ones.

    Raises:
        ValueError: a place does not exist, or there are fewer images than sources in a mixture.
    """
    found = [path for place in places for path in _files(place, extensions)]
    if len(found) > wanted:
        chosen = np.random.default_rng(seed).choice(len(found), wanted, replace=False)
        found = [found[i] for i in chosen]
    if len(found) < num_sources:
        raise ValueError(f'{len(found)} image(s) cannot be mixed by {num_sources}: give {num_sources} or more')
    return found[: len(found) // num_sources * num_sources]


def _files(place: str, extensions: tuple[str, ...] | None) -> list[str]:
    """List the images below a folder; a file is itself."""
    place = expand(place)
    if Path(place).is_file():
        return [place]
    return [entry['img_path'] for entry in ImageFolder(place, extensions=extensions).data_list]


@torch.no_grad()
def reconstruct(model: BaseModel, images: Tensor, seed: int) -> Reconstructions:
    """Mix images (B, C, H, W), photos in RGB, and reconstruct them: one mixture a group, led by its first image."""
    return model(mix_once(model.data_preprocessor, images, seed), mode='predict')


def mix_once(preprocessor: nn.Module, images: Tensor, seed: int) -> MixedImages:
    """Mix images (B, C, H, W), photos in RGB: one mixture a group, led by its first image, also of turns."""
    images = images.flip(1) if preprocessor.bgr_to_rgb else images
    with seeded(seed):
        mixtures = preprocessor({'inputs': images}, training=True)['inputs']
    turns = preprocessor.num_sources if preprocessor.take_turns else 1
    return MixedImages(*(None if part is None else part[::turns] for part in mixtures))


def mix_otherwise(model: BaseModel, num_sources: int | None = None, mask_ratio: float | None = None) -> None:
    """Have a model mix other than it was trained to; another number of images has equal shares, unless told.

    Args:
        model: Of pre-training.
        num_sources: Images in a mixture; None leaves them.
        mask_ratio: Share of the first image that is hidden, above 0 and below 1; None leaves it.

    Raises:
        ValueError: a number that the encoder is not made for, or a ratio that hides nothing or all.
    """
    preprocessor = model.data_preprocessor
    if num_sources not in (None, preprocessor.num_sources):
        _check_encodes(model.backbone, num_sources)
        preprocessor.num_sources, preprocessor.mask_ratio, preprocessor.shares = num_sources, None, None
    if mask_ratio is not None:
        if not 0 < mask_ratio < 1:
            raise ValueError(f'a hidden ratio of {mask_ratio}: give a share above 0 and below 1')
        preprocessor.mask_ratio, preprocessor.shares = mask_ratio, None
    if preprocessor.num_sources == 1 and not (preprocessor.mask_ratio or preprocessor.shares):
        raise ValueError('one image a mixture leaves nothing to reconstruct: give a hidden ratio too')


def _check_encodes(encoder: nn.Module, num_sources: int) -> None:
    """Refuse mixtures that a MixedAE cannot encode.

    Raises:
        ValueError: it has a segment embedding for another number of sources, or keeps keys for it.
    """
    own, segments = getattr(encoder, 'num_sources', None), getattr(encoder, 'segment_embed', None)
    if own is None or (segments is None and encoder.attention == 'global'):
        return
    raise ValueError(
        f'mixtures of {num_sources} images, but this encoder is for {own}: so are its segment embedding and the '
        f'number of keys that a query keeps. Leave the number out; MixMAE and MixedAE with plain attention take any'
    )
