"""MixMAE: pre-training of hierarchical encoders."""

import inspect

from torch import Tensor

from mixmae_mm.mixing import MixedImages
from mixmae_mm.models.selfsup.base import MixingPretrainer
from mixmae_mm.registry import MODELS


@MODELS.register_module()
class MixMAE(MixingPretrainer):
    """Mixtures of two images, encoded with attention masked by source (MixMAE, arXiv 2205.13137).

    Settings not named here are those of `MixingPretrainer`.

    Args:
        backbone: Any encoder that returns a tuple of maps (B, C, h, w), the last on the grid of the cells.
        masked_attention: Pass the assignment to the encoder, so that tokens attend to their own source only. Must be
            False for encoders that take none, like those of mmpretrain.
    """

    def __init__(
        self,
        data_preprocessor: dict,
        backbone: dict,
        neck: dict,
        head: dict,
        masked_attention: bool = True,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(data_preprocessor, backbone, neck, head, init_cfg)
        self.masked_attention = masked_attention
        if masked_attention and 'assignment' not in inspect.signature(self.backbone.forward).parameters:
            raise ValueError(
                f'{type(self.backbone).__name__} takes no assignment, so its attention cannot be masked: '
                'set masked_attention=False, or use mixmae_mm.MixMIMSwin'
            )

    def encode(self, images: MixedImages) -> tuple[Tensor, ...]:
        """Encode mixtures: maps (G, C, h, w)."""
        return self.backbone(images.mixed, *([images.assignment] if self.masked_attention else []))
