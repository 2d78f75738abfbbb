"""Padding of images in a batch: mmdet and mmseg pad at the bottom and right, and do not pass on the image sizes.

An image's features are the same with and without padding. Sizes are one (H, W) for all images, or int64 (B, 2) on the
images' device, which avoids synchronizing with a GPU.

Letters: B images, C channels, H x W pixels, h x w tokens.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from mixmae_mm.models.utils.pos_embed import resize_pos_embed
from mixmae_mm.structures import Size

PADDING = -1
"""The label of tokens that belong to no image."""
SHARPNESS = -0.75
"""The parameter `a` of cubic convolution, as in PyTorch."""


def image_sizes(images: Tensor, pad_value: float | None) -> Size | Tensor:
    """Return the size of each image in a batch (B, C, H, W), or one size for all.

    Padding has `pad_value` in all channels; None means no padding. An image of only that value counts as unpadded.
    """
    whole = tuple(images.shape[-2:])
    if pad_value is None:
        return whole
    valid = (images != pad_value).any(dim=1)
    empty = ~valid.any(dim=2, keepdim=True).any(dim=1, keepdim=True)
    sides = [(valid | empty).any(dim=dim) for dim in (2, 1)]
    ends = [(side * torch.arange(1, side.shape[1] + 1, device=side.device)).amax(dim=1) for side in sides]
    sizes = torch.stack(ends, dim=1)  # the position of the last row and column of an image, counted from 1
    filled = images.device.type == 'cpu' and all(size == [*whole] for size in sizes.tolist())  # a GPU would synchronize
    return whole if filled else sizes


def inside(sizes: Size | Tensor, grid: Size, device: torch.device) -> Tensor:
    """Return which positions of a grid are inside images of these sizes: bool (B or 1, h, w)."""
    heights, widths = (x[:, None] for x in sizes.unbind(dim=1)) if isinstance(sizes, Tensor) else sizes
    rows, columns = (torch.arange(side, device=device)[None] for side in grid)
    return (rows < heights)[:, :, None] & (columns < widths)[:, None]


def blank_pixels(images: Tensor, sizes: Size | Tensor) -> Tensor:
    """Set padding to 0, like the padding that the encoder adds: (B, C, H, W)."""
    canvas = tuple(images.shape[-2:])
    if not isinstance(sizes, Tensor) and sizes == canvas:
        return images
    return images.where(inside(sizes, canvas, images.device)[:, None], 0)


def image_labels(sizes: Size | Tensor, grid: Size, device: torch.device) -> Tensor | None:
    """Label tokens of images with 0 and padding with `PADDING`: int64 (B or 1, h, w), None if there is no padding."""
    if not isinstance(sizes, Tensor) and sizes == grid:
        return None
    return torch.where(inside(sizes, grid, device), 0, PADDING)


def blank_tokens(x: Tensor, labels: Tensor | None) -> Tensor:
    """Set padding tokens to 0: (B, h, w, C)."""
    return x if labels is None else x.masked_fill((labels == PADDING)[..., None], 0)


def count_tokens(sizes: Size | Tensor, patch_size: int) -> Size | Tensor:
    """Return the grids of patches of images of these sizes, including partly filled patches."""
    if isinstance(sizes, Tensor):
        return -(-sizes // patch_size)
    return -(-sizes[0] // patch_size), -(-sizes[1] // patch_size)


def place_pos_embed(pos_embed: Tensor, grid: Size, sizes: Size | Tensor, canvas: Size) -> Tensor:
    """Resize a position embedding (1, h * w, C) to each image's grid, with 0 in the padding: (B or 1, H, W, C).

    `canvas` = (H, W) is in tokens. For sizes on the device, this is `resize_pos_embed` written out.
    """
    if not isinstance(sizes, Tensor):
        own = resize_pos_embed(pos_embed, grid, sizes).unflatten(1, sizes)
        return F.pad(own, (0, 0, 0, canvas[1] - sizes[1], 0, canvas[0] - sizes[0]))
    maps = pos_embed.float().unflatten(1, grid).expand(len(sizes), -1, -1, -1)
    for dim, new_sides in enumerate(sizes.unbind(dim=1), start=1):
        maps = _resize(maps, dim, new_sides, canvas[dim - 1])
    return maps.where(inside(sizes, canvas, pos_embed.device)[..., None], 0).to(pos_embed.dtype)


def _resize(maps: Tensor, dim: int, new_sides: Tensor, length: int) -> Tensor:
    """Resize one dimension of maps (B, h, w, C) to `new_sides` (B,), and return its first `length` entries."""
    side = maps.shape[dim]
    places = (torch.arange(length, device=maps.device) + 0.5) * (side / new_sides[:, None]) - 0.5
    first, shape = places.floor(), [len(maps), 1, 1, 1]
    shape[dim] = length
    out = 0
    for tap, weight in zip(range(-1, 3), _cubic(places - first), strict=True):
        index = (first.long() + tap).clamp(0, side - 1)
        out = out + weight.view(shape) * maps.take_along_dim(index.view(shape), dim)
    return out


def _cubic(t: Tensor) -> tuple[Tensor, ...]:
    """Return the cubic convolution weights (Keys 1981) of the four neighbors of a point at t after the second."""
    a = SHARPNESS
    near = [((a + 2) * x - (a + 3)) * x * x + 1 for x in (t, 1 - t)]
    far = [((a * x - 5 * a) * x + 8 * a) * x - 4 * a for x in (t + 1, 2 - t)]
    return far[0], *near, far[1]
