"""The data preprocessor, which mixes images on the device, between the data loader and the model."""

from collections.abc import Sequence

import torch
from mmengine.model import BaseDataPreprocessor
from torch import Tensor

from mixmae_mm.mixing import (
    MixedImages,
    group_images,
    mix_images,
    random_assignment,
    resize_assignment,
    split_cells,
    take_turns,
    visible_ids,
)
from mixmae_mm.registry import MODELS
from mixmae_mm.utils.denormalize import to_show
from mixmae_mm.utils.validation import check_positive, check_whole

LAST_CHANNEL = 'last_channel'
"""Value of `weights` for images that carry their weights in an extra channel."""


@MODELS.register_module()
class MixingDataPreprocessor(BaseDataPreprocessor):
    """Normalize a batch and, in training, group and mix it.

    In training, `inputs` become `MixedImages`; otherwise they stay plain images (B, C, H, W).

    Args:
        mean: Mean of each channel, in the units of the images (0 to 255 for 8 bit).
        std: Standard deviation of each channel, in the same units.
        bgr_to_rgb: Reverse the channels first, for images read by OpenCV.
        num_sources: Number of images in a mixture, K. With 1, no image fills the masked cells, as in MAE.
        cell_size: Side of a cell in pixels; for MixMAE the encoder's last stride, for MixedAE the patch size.
        mask_ratio: Share of the leading source's cells that is masked; None for equal shares (see `split_cells`).
        shares: Each source's share of the cells, instead of `mask_ratio`; no image fills the cells that remain.
        take_turns: Make K mixtures of each group, each led by a different source; otherwise one mixture per group.
        shared_assignment: Draw one assignment for the batch, as in the official MixMIM, rather than one per group.
        block_size: Side, in cells, of the blocks that are assigned as one; the decoder still predicts single cells.
        weights: Loss weights of the pixels: the config of a module that computes them, (B, 1, H, W), from the images as
            loaded, such as `VarianceWeights`; or 'last_channel' if the images carry them in a channel after those of
            `mean`, in which NaN counts as 0.
    """

    def __init__(
        self,
        mean: Sequence[float] = (123.675, 116.28, 103.53),
        std: Sequence[float] = (58.395, 57.12, 57.375),
        bgr_to_rgb: bool = False,
        num_sources: int = 2,
        cell_size: int = 32,
        mask_ratio: float | None = None,
        shares: Sequence[float] | None = None,
        take_turns: bool = True,
        shared_assignment: bool = True,
        block_size: int = 1,
        weights: dict | str | None = None,
        non_blocking: bool = False,
    ) -> None:
        super().__init__(non_blocking)
        check_whole(num_sources=num_sources, cell_size=cell_size, block_size=block_size)
        check_positive(std=min(std, default=0))
        if len(mean) != len(std):
            raise ValueError(f'mean has {len(mean)} channels and std {len(std)}: both need one number for each channel')
        if num_sources == 1 and not mask_ratio and shares is None:
            raise ValueError('one source leaves nothing to reconstruct: set mask_ratio, or num_sources to 2 or more')
        if mask_ratio and shares is not None:
            raise ValueError(f'mask_ratio {mask_ratio} and shares {tuple(shares)} are redundant: set one of them')
        if isinstance(weights, str) and weights != LAST_CHANNEL:
            raise ValueError(f"weights='{weights}': use '{LAST_CHANNEL}', or dict(type=...) of a module")
        if weights == LAST_CHANNEL and bgr_to_rgb:
            raise ValueError(f"weights='{LAST_CHANNEL}' needs images that are RGB already: load them with mode='RGB'")
        self.register_buffer('mean', torch.tensor(mean, dtype=torch.float32).view(-1, 1, 1), persistent=False)
        self.register_buffer('std', torch.tensor(std, dtype=torch.float32).view(-1, 1, 1), persistent=False)
        self.bgr_to_rgb, self.num_sources, self.take_turns = bgr_to_rgb, num_sources, take_turns
        self.cell_size, self.block_size = cell_size, block_size
        self.mask_ratio, self.shares, self.shared_assignment = mask_ratio, shares, shared_assignment
        self.weights = MODELS.build(weights) if isinstance(weights, dict) else weights

    def forward(self, data: dict, training: bool = False) -> dict:
        """Move a batch to the device, normalize it and, in training, mix it.

        `data['inputs']` is a tensor (B, C, H, W) or a list of (C, H, W); nothing else changes.
        """
        data = self.cast_data(data)
        images, shapes = data['inputs'], {tuple(image.shape) for image in data['inputs']}
        if len(shapes) > 1:
            raise ValueError(f'images of one batch differ in shape (C, H, W): {sorted(shapes)}; resize them alike')
        images = images if isinstance(images, Tensor) else torch.stack(list(images))
        normalized = self.normalize(images)
        return {**data, 'inputs': self.mix(normalized, self._weigh(images)) if training else normalized}

    def normalize(self, images: Tensor) -> Tensor:
        """Normalize images (B, C, H, W) by mean and standard deviation; a channel of weights is dropped."""
        if self.weights == LAST_CHANNEL:
            images = images[:, : len(self.mean)]
        if images.shape[1] != len(self.mean):
            raise ValueError(
                f'images have {images.shape[1]} channels, but mean and std are for {len(self.mean)}: '
                f'load them with {len(self.mean)} channels or change mean and std'
            )
        return ((images.flip(1) if self.bgr_to_rgb else images) - self.mean) / self.std

    def denormalize(self, images: Tensor) -> Tensor:
        """Undo `normalize` for viewing: (..., C, H, W) -> uint8, RGB if there are three channels (`to_show`)."""
        return to_show(images, self.mean, self.std)

    def _weigh(self, images: Tensor) -> Tensor | None:
        """Return the pixel weights, (B, 1, H, W), of images as loaded; None if there are none."""
        if self.weights is None:
            return None
        if self.weights != LAST_CHANNEL:
            return _checked(self.weights(images.float()), images)
        weights = images[:, len(self.mean) :].float().clamp(min=0).nan_to_num(0)  # resizing can overshoot
        if weights.shape[1] == 0 and not self.training:
            return None  # tools read images without their weights
        if weights.shape[1] != 1:
            raise ValueError(
                f"weights='{LAST_CHANNEL}' needs images of {len(self.mean)} channels and one of weights, got "
                f'{images.shape[1]}: load them with mixmae_mm.LoadWeights'
            )
        return weights

    def mix(self, images: Tensor, weights: Tensor | None = None) -> MixedImages:
        """Group and mix normalized images (B, C, H, W) with newly drawn assignments; `weights` are (B, 1, H, W)."""
        sources, weights = (None if x is None else group_images(x, self.num_sources) for x in (images, weights))
        grid = self._grid(tuple(images.shape[-2:]))
        settings = self.num_sources, self.mask_ratio, self.shares
        num_maps = 1 if self.shared_assignment else len(sources)
        blocks = grid[0] // self.block_size, grid[1] // self.block_size
        assignment = random_assignment(num_maps, blocks, *settings, device=images.device)
        assignment = resize_assignment(assignment, grid) if self.block_size > 1 else assignment
        if self.take_turns:
            sources, weights = (None if x is None else take_turns(x) for x in (sources, weights))
            if not self.shared_assignment:
                assignment = assignment.repeat_interleave(self.num_sources, dim=0)
        num_visible = sum(split_cells(blocks[0] * blocks[1], *settings)) * self.block_size**2
        ids_keep = None if num_visible == grid[0] * grid[1] else visible_ids(assignment.flatten(1), num_visible)
        return MixedImages(mix_images(sources, assignment), sources, assignment, ids_keep, weights)

    def _grid(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return the grid of cells in images of `size` = (H, W)."""
        side = self.cell_size * self.block_size
        if size[0] % side or size[1] % side:
            raise ValueError(
                f'images of {size[0]} x {size[1]} pixels cannot be split into cells of {side} x {side} (cell_size '
                f'{self.cell_size} times block_size {self.block_size}): make their sides multiples of {side}'
            )
        return size[0] // self.cell_size, size[1] // self.cell_size


def _checked(weights: Tensor, images: Tensor) -> Tensor:
    """Check that a module's weights are (B, 1, H, W), finite and 0 or more, on a GPU asynchronously; return them."""
    shape = len(images), 1, *images.shape[-2:]
    if weights.shape != shape:
        raise ValueError(f'weights of images {tuple(images.shape)} must be {shape}, got {tuple(weights.shape)}')
    text, valid = 'weights of pixels must be finite and 0 or more', (weights >= 0) & weights.isfinite()
    if weights.is_cuda:  # reading the result would synchronize with the GPU in each step
        torch._assert_async(valid.all(), text)
    elif not valid.all():
        raise ValueError(f'{text}, got {weights[~valid][0]:g}: change the module that makes them')
    return weights
