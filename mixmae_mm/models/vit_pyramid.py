"""ViTPyramid: maps of several strides from a plain ViT, whose maps all have one.

Letters: B images, C channels, h x w patches.
"""

from collections.abc import Sequence

from mmengine.model import BaseModule
from torch import Tensor, nn

from mixmae_mm.models.settings import check_list, check_whole
from mixmae_mm.registry import MODELS

SCALES = (4, 2, 1, 0.5)


class ChannelNorm(nn.LayerNorm):
    """LayerNorm over the channels of each place of a map: what other places hold, padding say, does not matter."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (B, C, h, w)."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


@MODELS.register_module()
class ViTPyramid(BaseModule):
    """A neck before FPN or UPerHead: rescale the last map, or one map for each scale.

    Maps grow by 2 x 2 deconvolutions of stride 2, with a norm and GELU between two, and shrink by max pooling. With one
    map in it is ViTDet's simple pyramid (arXiv 2203.16527); with a map for each scale that of BEiT, MAE and iBOT.

    Args:
        in_channels: Channels of the maps.
        scales: What the maps' sides are multiplied by: 4, 2, 1 or 0.5 each. At a patch of 16 px these four give the
            strides 4, 8, 16 and 32.
        halve: Halve the channels with each doubling of the sides, as ViTDet does; otherwise they stay.
        init_cfg: mmengine's.

    Raises:
        ValueError: channels that are none, or another scale.
    """

    def __init__(
        self, in_channels: int, scales: Sequence[float] = SCALES, halve: bool = False, init_cfg: dict | None = None
    ) -> None:
        super().__init__(init_cfg)
        check_whole(in_channels=in_channels)
        check_list(scales=scales)
        if not all(scale in SCALES for scale in scales):
            raise ValueError(f'scales {tuple(scales)} must be some of {SCALES}')
        self.levels = nn.ModuleList(_rescale(in_channels, scale, halve) for scale in scales)

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Rescale maps (B, C, h, w), one for all scales or one each, to (B, C', scale * h, scale * w).

        Raises:
            ValueError: another number of maps.
        """
        if len(maps) not in (1, len(self.levels)):
            raise ValueError(
                f'{len(maps)} maps for {len(self.levels)} scales: set out_indices of the backbone to one block, or to '
                'as many as there are scales'
            )
        maps = [*maps] * (len(self.levels) // len(maps))
        # contiguous: RoIAlign of mmcv misreads other maps
        return tuple(level(x).contiguous() for level, x in zip(self.levels, maps, strict=True))


def _rescale(channels: int, scale: float, halve: bool) -> nn.Module:
    """Make what multiplies a map's sides by a scale."""
    if scale == SCALES[-1]:
        return nn.MaxPool2d(2, ceil_mode=True)
    if scale == 1:
        return nn.Identity()
    half = channels // 2 if halve else channels
    first = nn.ConvTranspose2d(channels, half, 2, stride=2)
    if scale == SCALES[1]:
        return first
    quarter = half // 2 if halve else half
    return nn.Sequential(first, ChannelNorm(half), nn.GELU(), nn.ConvTranspose2d(half, quarter, 2, stride=2))
