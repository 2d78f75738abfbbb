"""What can be shown of normalised pictures, whatever their channels and their range.

Letters: B pictures, C channels, H x W pixels.
"""

import torch
from torch import Tensor

SPREAD = 2.5  # standard deviations on either side of the mean that are shown, where the range is not 0 to 255


def to_show(images: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Undo the normalisation for looking at: (..., C, H, W) -> uint8, by mean and std (C, 1, 1).

    Photos of 8 bits get their pixels back. Of all else nobody knows the range: what lies 2.5 standard deviations below
    the mean of its channel becomes 0, what lies as far above it 255.
    """
    pixels = images * std + mean if is_of_photos(mean, std) else 127.5 * (1 + images / SPREAD)
    return pixels.round().clamp(0, 255).to(torch.uint8)


def is_of_photos(mean: Tensor, std: Tensor) -> bool:
    """Tell whether mean and std can be those of grey or RGB pictures from 0 to 255."""
    return len(mean) in (1, 3) and 1 <= mean.max().item() <= 255 and std.max().item() <= 127.5


def first_three(pictures: Tensor) -> Tensor:
    """Leave of pictures (..., C, H, W) what has colours, the first three channels, or one where there are two."""
    count = pictures.shape[-3]
    return pictures if count in (1, 3) else pictures.narrow(-3, 0, 3 if count > 3 else 1)
