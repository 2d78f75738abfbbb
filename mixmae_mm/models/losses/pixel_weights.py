"""Weights of pixels in the reconstruction loss, made of the images.

Letters: B images, C channels, H x W pixels.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mixmae_mm.registry import MODELS
from mixmae_mm.utils.validation import check_whole


@MODELS.register_module()
class VarianceWeights(nn.Module):
    """Weigh pixels by the variance around them over its mean in the image: structure counts, even ground hardly does.

    Args:
        window: Side, an odd number of pixels, of the square that the variance is of.
        floor: Added to each weight; 0 leaves pixels in even ground out.
    """

    def __init__(self, window: int = 7, floor: float = 0.1) -> None:
        super().__init__()
        check_whole(window=window)
        if window % 2 == 0 or window < 3 or floor < 0:
            raise ValueError(f'window must be an odd number from 3 on and floor 0 or more, got {window} and {floor}')
        self.window, self.floor = window, floor

    def forward(self, images: Tensor) -> Tensor:
        """Return the weights of images (B, C, H, W) in any units: (B, 1, H, W), of mean 1 + floor."""
        variance, mean = torch.var_mean(images, dim=(2, 3), keepdim=True)
        images = (images - mean) / (variance + 1e-12).sqrt()  # each channel counts the same
        local = (self._average(images.square()) - self._average(images).square()).clamp(min=0)
        local = local.mean(dim=1, keepdim=True)
        return self.floor + local / local.mean(dim=(2, 3), keepdim=True).clamp(min=1e-6)

    def _average(self, images: Tensor) -> Tensor:
        """Average over the window, or over its part inside the image."""
        return F.avg_pool2d(images, self.window, stride=1, padding=self.window // 2, count_include_pad=False)


@MODELS.register_module()
class ThresholdWeights(nn.Module):
    """Weigh pixels 1 where a channel is above a threshold, and else by `outside`: dark or empty ground is left out.

    Args:
        above: In the units of the images: 0 to 255 for 8 bit.
        outside: The weight of pixels of which no channel is above it.
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
