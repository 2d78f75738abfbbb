"""Pixel weights for the reconstruction loss, computed from the images.

Letters: B images, C channels, H x W pixels.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mixmae_mm.registry import MODELS
from mixmae_mm.utils.validation import check_whole


@MODELS.register_module()
class VarianceWeights(nn.Module):
    """Weights by local variance, relative to its mean over the image: structure counts, uniform regions hardly do.

    Args:
        window: Side of the square around a pixel, in pixels, in which the variance is computed; odd, 3 or more.
        floor: Added to each weight; with 0, uniform regions do not count at all.
    """

    def __init__(self, window: int = 7, floor: float = 0.1) -> None:
        super().__init__()
        check_whole(window=window)
        if window % 2 == 0 or window < 3 or floor < 0:
            raise ValueError(f'window must be odd and 3 or more, and floor 0 or more, got {window} and {floor}')
        self.window, self.floor = window, floor

    def forward(self, images: Tensor) -> Tensor:
        """Return the weights of images (B, C, H, W) in any units: (B, 1, H, W), with mean 1 + `floor`."""
        variance, mean = torch.var_mean(images, dim=(2, 3), keepdim=True)
        images = (images - mean) / (variance + 1e-12).sqrt()  # makes channels count equally
        local = (self._average(images.square()) - self._average(images).square()).clamp(min=0)
        local = local.mean(dim=1, keepdim=True)
        return self.floor + local / local.mean(dim=(2, 3), keepdim=True).clamp(min=1e-6)

    def _average(self, images: Tensor) -> Tensor:
        """Average over the window, or over its part inside the image."""
        return F.avg_pool2d(images, self.window, stride=1, padding=self.window // 2, count_include_pad=False)


@MODELS.register_module()
class ThresholdWeights(nn.Module):
    """Weights of 1 where any channel is above a threshold, else of `outside`: dark or empty regions do not count.

    Args:
        above: The threshold, in the units of the images (0 to 255 for 8 bit).
        outside: Weight, from 0 to 1, of pixels with no channel above the threshold.
    """

    def __init__(self, above: float = 0.0, outside: float = 0.0) -> None:
        super().__init__()
        if not 0 <= outside <= 1:
            raise ValueError(f'outside must be from 0 to 1, got {outside}')
        self.above, self.outside = above, outside

    def forward(self, images: Tensor) -> Tensor:
        """Return the weights of images (B, C, H, W): (B, 1, H, W)."""
        inside = (images > self.above).any(dim=1, keepdim=True).to(images.dtype)
        return inside + (1 - inside) * self.outside
