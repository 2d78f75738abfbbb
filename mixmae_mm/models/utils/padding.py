"""Where images end in a batch: downstream libraries pad smaller ones, and do not pass the sizes to the encoder.

Padding lies at the bottom and at the right, as mmdet and mmseg put it. An image's features are the same, alone or
padded. Sizes in a batch are one (H, W) for all images, or int64 (B, 2) on their device, so that a GPU need not wait.

Letters: B images, C channels, H x W pixels, h x w tokens.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from mixmae_mm.models.utils.pos_embed import resize_table
from mixmae_mm.structures import Size

PADDING = -1
"""The label of tokens that belong to no image."""
SHARPNESS = -0.75
"""The free number of bicubic interpolation, as PyTorch has it."""


def find_images(images: Tensor, pad_value: float | None) -> Size | Tensor:
    """Measure the images in a batch (B, C, H, W): the height and width of each, or of all at once.

    `pad_value` is what padding has in all channels, None where nothing is padded. An image of nothing else is whole.
    """
    whole = tuple(images.shape[-2:])
    if pad_value is None:
        return whole
    shown = (images != pad_value).any(dim=1)
    empty = ~shown.any(dim=2, keepdim=True).any(dim=1, keepdim=True)
    sizes = torch.stack([_length((shown | empty).any(dim=dim)) for dim in (2, 1)], dim=1)
    filled = images.device.type == 'cpu' and all(size == [*whole] for size in sizes.tolist())  # costs a CPU no wait
    return whole if filled else sizes


def _length(shown: Tensor) -> Tensor:
    """Count up to the last True: (B, L) -> (B,)."""
    places = torch.arange(1, shown.shape[1] + 1, device=shown.device)
    return (shown * places).amax(dim=1)


def inside(sizes: Size | Tensor, grid: Size, device: torch.device) -> Tensor:
    """Return which places of a grid images of these sizes take: bool (B or 1, h, w)."""
    heights, widths = (x[:, None] for x in sizes.unbind(dim=1)) if isinstance(sizes, Tensor) else sizes
    rows, columns = (torch.arange(side, device=device)[None] for side in grid)
    return (rows < heights)[:, :, None] & (columns < widths)[:, None]


def blank_pixels(images: Tensor, sizes: Size | Tensor) -> Tensor:
    """Set pixels outside the images to 0, as if each had been padded by the encoder itself: (B, C, H, W)."""
    canvas = tuple(images.shape[-2:])
    if not isinstance(sizes, Tensor) and sizes == canvas:
        return images
    return images.where(inside(sizes, canvas, images.device)[:, None], 0)


def image_labels(sizes: Size | Tensor, grid: Size, device: torch.device) -> Tensor | None:
    """Label the tokens of images with 0 and others with `PADDING`: int64 (B or 1, h, w), None if all are 0."""
    if not isinstance(sizes, Tensor) and sizes == grid:
        return None
    return torch.where(inside(sizes, grid, device), 0, PADDING)


def blank_tokens(x: Tensor, labels: Tensor | None) -> Tensor:
    """Set tokens that belong to no image to 0: (B, h, w, C)."""
    return x if labels is None else x.masked_fill((labels == PADDING)[..., None], 0)


def count_tokens(sizes: Size | Tensor, patch_size: int) -> Size | Tensor:
    """Count the patches that images take, those included of which they take a part."""
    if isinstance(sizes, Tensor):
        return -(-sizes // patch_size)
    return -(-sizes[0] // patch_size), -(-sizes[1] // patch_size)


def place_table(table: Tensor, grid: Size, sizes: Size | Tensor, canvas: Size) -> Tensor:
    """Resize a table of absolute positions (1, h * w, C) to the size of each image, bicubic: (B or 1, H, W, C).

    It is 0 where the canvas (H, W) goes beyond the image. For sizes on the device this is `resize_table` written out.
    """
    if not isinstance(sizes, Tensor):
        own = resize_table(table, grid, sizes).unflatten(1, sizes)
        return F.pad(own, (0, 0, 0, canvas[1] - sizes[1], 0, canvas[0] - sizes[0]))
    maps = table.float().unflatten(1, grid).expand(len(sizes), -1, -1, -1)
    for dim, new_sides in enumerate(sizes.unbind(dim=1), start=1):
        maps = _resize(maps, dim, new_sides, canvas[dim - 1])
    return maps.where(inside(sizes, canvas, table.device)[..., None], 0).to(table.dtype)


def _resize(maps: Tensor, dim: int, new_sides: Tensor, length: int) -> Tensor:
    """Resize one side of maps (B, h, w, C) to `new_sides` (B,), and give `length` places of each."""
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
    """Return the weights of a place's four neighbors, t after the second: cubic convolution (Keys 1981)."""
    a = SHARPNESS
    near = [((a + 2) * x - (a + 3)) * x * x + 1 for x in (t, 1 - t)]
    far = [((a * x - 5 * a) * x + 8 * a) * x - 4 * a for x in (t + 1, 2 - t)]
    return far[0], *near, far[1]
