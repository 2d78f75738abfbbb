"""Features of patches from any depth of an encoder.

Letters: B images, C channels, H x W pixels, h x w patches.
"""

from mmengine.config import Config
from torch import Tensor, nn
from torch.nn import functional as F

from mixmae_mm.apis.feature_extractor import FeatureExtractor
from mixmae_mm.apis.model import build_encoder, input_size
from mixmae_mm.datasets.image_reader import normalization, reading_of
from mixmae_mm.models import MixingViT, MixMIMSwin


class Tapped(nn.Module):
    """An encoder that ends after one of its stages, or blocks if it is a plain ViT.

    What comes out is normalized as by a LayerNorm without weights: only the last map has one that was trained.

    Args:
        encoder: A `MixMIMSwin` or a `MixingViT`.
        stage: Number of the stage or block, from 0 or, negative, from the end.

    Raises:
        ValueError: another encoder, or a stage that there is not or that is not run.
    """

    def __init__(self, encoder: nn.Module, stage: int) -> None:
        super().__init__()
        if not isinstance(encoder, MixMIMSwin | MixingViT):
            raise ValueError(f'{type(encoder).__name__} has no stages that are known: leave the stage out')
        stages = encoder.layers if isinstance(encoder, MixMIMSwin) else encoder.blocks
        what = 'stage' if isinstance(encoder, MixMIMSwin) else 'block'
        if not -len(stages) <= stage < len(stages):
            raise ValueError(f'there is no {what} {stage}: this encoder has {len(stages)}, 0 to {len(stages) - 1}')
        number, last = stage % len(stages), max(encoder.out_indices)
        if number > last:
            raise ValueError(
                f'{what} {number} is not run: out_indices {encoder.out_indices} asks for earlier ones only'
            )
        self.encoder, self.tap = encoder, stages[number]

    def forward(self, images: Tensor) -> tuple[Tensor]:
        """Encode normalized images (B, C, H, W): one map (B, C, h, w)."""
        heard: list[Tensor] = []
        handle = self.tap.register_forward_hook(lambda module, inputs, output: heard.append(output))
        try:
            self.encoder(images)
        finally:
            handle.remove()
        x = F.layer_norm(heard[0], heard[0].shape[-1:])
        if isinstance(self.encoder, MixingViT):
            grid = tuple(-(-side // self.encoder.patch_size) for side in images.shape[-2:])
            x = x[:, self.encoder.extra :].unflatten(1, grid)
        return (x.permute(0, 3, 1, 2).contiguous(),)


def patch_extractor(config: Config, checkpoint: str, stage: int | None, side: int | None = None) -> FeatureExtractor:
    """Make what computes features of patches: of the last map, or of a stage.

    Args:
        config: Of pre-training or transfer.
        checkpoint: Its weights.
        stage: As of `Tapped`; None for the encoder's last map.
        side: Pixels a side of the images; None for what the encoder is made for.

    Raises:
        ValueError: as of `build_encoder` and `Tapped`; an encoder of which the last map is one cell.
    """
    encoder = build_encoder(config, checkpoint)
    if stage is None and getattr(encoder, 'out_type', 'featmap') != 'featmap':
        raise ValueError(
            f"the encoder's last map is one cell, as out_type is '{encoder.out_type}': give --stage, or "
            '--cfg-options model.backbone.out_type=featmap'
        )
    tapped = encoder if stage is None else Tapped(encoder, stage)
    size = input_size(config, side)
    return FeatureExtractor(tapped, image_size=size, reading=reading_of(config), **normalization(config))
