"""Denormalization of images for display, whatever their channels and range: C channels, H x W pixels."""

import torch
from torch import Tensor

RANGE = 2.5  # standard deviations displayed on either side of the mean, if the range is unknown


def to_show(images: Tensor, mean: Tensor, std: Tensor, photos: bool | None = None) -> Tensor:
    """Undo the normalization for display: (..., C, H, W) -> uint8, by mean and std (C, 1, 1).

    Photos get their pixels from 0 to 255 back. In all other images, 2.5 standard deviations below a channel's mean
    become 0, and 2.5 above it 255. `photos` says whether the images are photos; None decides by mean and std.
    """
    photos = is_of_photos(mean, std) if photos is None else photos
    pixels = images * std + mean if photos else 127.5 * (1 + images / RANGE)
    return pixels.round().clamp(0, 255).to(torch.uint8)


def is_of_photos(mean: Tensor, std: Tensor) -> bool:
    """Return whether mean and std (C, 1, 1) can be those of gray or RGB images with pixels from 0 to 255, not to 1."""
    from_0_to_1 = mean.max() <= 1 and std.max() < 1  # a mean of 0 and a std of 1 leave pixels as they are
    within = mean.min() >= 0 and mean.max() <= 255 and std.max() <= 255
    return len(mean) in (1, 3) and bool(within and not from_0_to_1)


def first_three(images: Tensor) -> Tensor:
    """Return the first three channels of images (..., C, H, W), or only the first if there are two."""
    count = images.shape[-3]
    return images if count in (1, 3) else images.narrow(-3, 0, 3 if count > 3 else 1)
