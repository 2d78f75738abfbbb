"""The reconstruction loss, and reconstructed images.

Letters: G mixtures, K sources, N cells, C channels, H x W pixels, P = cell_size * cell_size * C.
"""

import torch
from mmengine.model import BaseModule
from torch import Tensor

from mixmae_mm.mixing import MixedImages, patchify, unpatchify, visible
from mixmae_mm.registry import MODELS
from mixmae_mm.utils.validation import check_positive, check_whole


@MODELS.register_module()
class MixReconstructionHead(BaseModule):
    """Mean squared error over the pixels of masked cells, weighted if the images come with weights.

    Args:
        cell_size: Side of a cell in pixels.
        norm_pix: Normalize the pixels of each target cell by their own mean and unbiased variance, as MAE does.
        eps: Added to this variance.
        masked_only: Leave out visible cells, as MixMIM and MAE do.
        num_reconstructed: Number of sources of a mixture, from the first, that the loss counts; None for all.
    """

    def __init__(
        self,
        cell_size: int = 32,
        norm_pix: bool = True,
        eps: float = 1e-6,
        masked_only: bool = True,
        num_reconstructed: int | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        check_positive(eps=eps)
        if num_reconstructed is not None:
            check_whole(num_reconstructed=num_reconstructed)
        self.cell_size, self.norm_pix, self.eps, self.masked_only = cell_size, norm_pix, eps, masked_only
        self.num_reconstructed = num_reconstructed

    def loss(self, predictions: Tensor, images: MixedImages) -> dict[str, Tensor]:
        """Return the mean squared error of predictions (G, K, N, P), weighted by `images.weights` if there are any."""
        self._check_cells(predictions, images)
        targets = patchify(images.sources, self.cell_size)
        if self.norm_pix:
            mean, std = self._statistics(targets)
            targets = (targets - mean) / std
        errors = (predictions.float() - targets).square()
        if images.weights is None:
            return {'loss_reconstruction': self._mean(errors, images)}
        weights = patchify(images.weights.expand_as(images.sources), self.cell_size)
        total = self._mean(weights, images).clamp(min=torch.finfo(weights.dtype).tiny)  # all weights can be 0
        return {'loss_reconstruction': self._mean(errors * weights, images) / total}

    def _mean(self, values: Tensor, images: MixedImages) -> Tensor:
        """Return the mean of values (G, K, N, P) over the cells and sources that count."""
        counted = slice(self.num_reconstructed)
        if not self.masked_only:
            return values.mean(dim=-1)[:, counted].mean()
        values = values.mean(dim=-1)
        masked = ~visible(images.assignment.flatten(1), values.shape[1]).expand_as(values)
        return (values * masked)[:, counted].sum() / masked[:, counted].sum()

    def reconstruct(self, predictions: Tensor, images: MixedImages) -> Tensor:
        """Replace the masked cells of the sources by predictions: (G, K, N, P) -> normalized images (G, K, C, H, W).

        With `norm_pix`, each predicted cell gets the mean and standard deviation of the original cell.
        """
        cells = patchify(images.sources, self.cell_size)
        predictions = predictions.float()
        if self.norm_pix:
            mean, std = self._statistics(cells)
            predictions = predictions * std + mean
        keep = visible(images.assignment.flatten(1), cells.shape[1])[..., None]
        return unpatchify(torch.where(keep, cells, predictions), self.cell_size, images.assignment.shape[-2:])

    def _check_cells(self, predictions: Tensor, images: MixedImages) -> None:
        """Check that predictions (G, K, N, P) have as many cells, and values in a cell, as the images."""
        cells, channels = images.assignment[0].numel(), images.sources.shape[2]
        numbers = self.cell_size**2 * channels
        if predictions.shape[2:] != (cells, numbers) or images.sources[0, 0].numel() != cells * numbers:
            raise ValueError(
                f'predicted {predictions.shape[2]} cells of {predictions.shape[3]} numbers, but the images have '
                f'{tuple(images.sources.shape[-2:])} pixels and {channels} channels in {cells} cells: set the same '
                "cell_size in data_preprocessor, neck and head, and the neck's image_channels to those of the images"
            )

    def _statistics(self, cells: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean and standard deviation of each cell, (..., P) -> two of (..., 1)."""
        variance, mean = torch.var_mean(cells, dim=-1, keepdim=True)
        return mean, (variance + self.eps).sqrt()
