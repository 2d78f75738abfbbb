"""Where pictures end in a batch: hosts fill smaller ones up, and do not tell the encoder.

What no token of a picture may see, no feature of it can depend on: so a picture's features are the same, alone or
padded. Padding lies at the bottom and at the right, as mmdet and mmseg put it.

Letters: B pictures, C channels, H x W pixels, h x w tokens.
"""

import torch
from torch import Tensor

from mixmae_mm.models.positions import Size

PADDING = -1
"""The label of tokens that belong to no picture."""


def find_pictures(images: Tensor, pad_value: float | None) -> list[Size]:
    """Measure the pictures in a batch: the height and width of each, or of all at once where all fill the batch.

    Args:
        images: (B, C, H, W).
        pad_value: What padding has in all channels; a picture of nothing else is taken for a whole one. None where
            nothing is padded.
    """
    whole = tuple(images.shape[-2:])
    if pad_value is None:
        return [whole]
    shown = (images != pad_value).any(dim=1)
    sizes = torch.stack([_length(shown.any(dim=2)), _length(shown.any(dim=1))], dim=1).tolist()
    sizes = [(rows, columns) if rows else whole for rows, columns in sizes]
    return [whole] if all(size == whole for size in sizes) else sizes


def _length(shown: Tensor) -> Tensor:
    """Count up to the last True: (B, L) -> (B,)."""
    places = torch.arange(1, shown.shape[1] + 1, device=shown.device)
    return (shown * places).amax(dim=1)


def inside(sizes: list[Size], grid: Size, device: torch.device) -> Tensor:
    """Tell which places of a grid pictures of these sizes take: bool (number of sizes, h, w)."""
    heights, widths = torch.tensor(sizes, device=device).unbind(dim=1)
    rows, columns = (torch.arange(side, device=device) for side in grid)
    return (rows < heights[:, None])[:, :, None] & (columns < widths[:, None])[:, None]


def blank_pixels(images: Tensor, sizes: list[Size]) -> Tensor:
    """Set pixels outside the pictures to 0, as if each had been padded by the encoder itself: (B, C, H, W)."""
    if len(sizes) == 1 and sizes[0] == tuple(images.shape[-2:]):
        return images
    return images.where(inside(sizes, tuple(images.shape[-2:]), images.device)[:, None], 0)


def picture_labels(sizes: list[Size], grid: Size, device: torch.device) -> Tensor | None:
    """Label the tokens of pictures with 0 and others with `PADDING`: int64 (B or 1, h, w), None if all are 0."""
    if sizes == [grid]:
        return None
    return torch.where(inside(sizes, grid, device), 0, PADDING)


def blank_tokens(x: Tensor, labels: Tensor | None) -> Tensor:
    """Set tokens that belong to no picture to 0: (B, h, w, C)."""
    return x if labels is None else x.masked_fill((labels == PADDING)[..., None], 0)


def count_tokens(sizes: list[Size], patch_size: int) -> list[Size]:
    """Count the patches that pictures take, those included of which they take a part."""
    return [(-(-height // patch_size), -(-width // patch_size)) for height, width in sizes]
