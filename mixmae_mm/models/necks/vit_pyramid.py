"""ViTPyramid: maps with several strides from a plain ViT, whose own maps all have the same stride.

Letters: B images, C channels, h x w patches.
"""

from collections.abc import Sequence

from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn import functional as F

from mixmae_mm.registry import MODELS

SCALES = (4, 2, 1, 0.5)


@MODELS.register_module()
class ChannelNorm(nn.LayerNorm):
    """LayerNorm over the channels of each pixel of a map, so padding does not affect other pixels."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalize (B, C, h, w)."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


@MODELS.register_module()
class ViTPyramid(BaseModule):
    """A neck that rescales one map, or one for each scale, for FPN, UPerHead or, by itself, ViTDet's heads.

    With one map, `halve` and `out_channels`, it is ViTDet's simple feature pyramid (arXiv 2203.16527); with a map for
    each scale, it is the feature pyramid of BEiT, MAE and iBOT.

    Args:
        scales: Factors by which the sides of the maps are multiplied, each 4, 2, 1 or 0.5.
        halve: Halve the channels with each doubling of the sides, as ViTDet does.
        out_channels: Project each map to this number of channels by two convolutions with norms, and append the last
            map subsampled by 2, as ViTDet does. None leaves that to an FPN or the head.
        norm_cfg: Config of the norms, as in mmcv; None for LayerNorm over channels, as in ViTDet.
    """

    def __init__(
        self,
        in_channels: int,
        scales: Sequence[float] = SCALES,
        halve: bool = False,
        out_channels: int | None = None,
        norm_cfg: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if not scales or not all(scale in SCALES for scale in scales):
            raise ValueError(f'scales {tuple(scales)} must be some of {SCALES}')
        widths = [in_channels // int(max(scale, 1)) if halve else in_channels for scale in scales]
        self.levels = nn.ModuleList(
            _rescale(in_channels, width, scale, norm_cfg) for width, scale in zip(widths, scales, strict=True)
        )
        self.outputs = None
        if out_channels is not None:
            self.outputs = nn.ModuleList(_convolve(width, out_channels, norm_cfg) for width in widths)

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Rescale maps (B, C, h, w), one for all scales or one each, to (B, C', scale * h, scale * w)."""
        if len(maps) not in (1, len(self.levels)):
            raise ValueError(
                f'{len(maps)} maps for {len(self.levels)} scales: set out_indices of the backbone to one block, or to '
                'as many as there are scales'
            )
        maps = [*maps] * (len(self.levels) // len(maps))
        maps = [level(x) for level, x in zip(self.levels, maps, strict=True)]
        if self.outputs is not None:
            maps = [output(x) for output, x in zip(self.outputs, maps, strict=True)]
            maps.append(F.max_pool2d(maps[-1], kernel_size=1, stride=2))
        return tuple(x.contiguous() for x in maps)  # mmcv's RoIAlign misreads non-contiguous maps


def _norm(channels: int, norm_cfg: dict | None) -> nn.Module:
    """Build a norm; mmcv is imported only if needed, because it warns if its compiled ops are missing."""
    if norm_cfg is None:
        return ChannelNorm(channels, eps=1e-6)
    from mmcv.cnn import build_norm_layer

    return build_norm_layer(norm_cfg, channels)[1]


def _rescale(channels: int, width: int, scale: float, norm_cfg: dict | None) -> nn.Module:
    """Build a layer that multiplies a map's sides by a scale and has `width` output channels."""
    if scale == SCALES[-1]:
        return nn.MaxPool2d(2, ceil_mode=True)
    if scale == 1:
        return nn.Identity()
    if scale == SCALES[1]:
        return nn.ConvTranspose2d(channels, width, 2, stride=2)
    half = channels if width == channels else channels // 2
    first, last = nn.ConvTranspose2d(channels, half, 2, stride=2), nn.ConvTranspose2d(half, width, 2, stride=2)
    return nn.Sequential(first, _norm(half, norm_cfg), nn.GELU(), last)


def _convolve(channels: int, width: int, norm_cfg: dict | None) -> nn.Module:
    """Build the two convolutions, each followed by a norm, of one level of the pyramid."""
    return nn.Sequential(
        nn.Conv2d(channels, width, 1, bias=False),
        _norm(width, norm_cfg),
        nn.Conv2d(width, width, 3, padding=1, bias=False),
        _norm(width, norm_cfg),
    )
