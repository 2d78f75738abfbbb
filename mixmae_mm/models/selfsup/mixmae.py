"""MixMAE: pre-training of hierarchical encoders."""

import inspect

from torch import Tensor

from mixmae_mm.mixing import MixedImages
from mixmae_mm.models.selfsup.base import MixingPretrainer
from mixmae_mm.models.utils.source_masking import SourceMasking
from mixmae_mm.registry import MODELS


@MODELS.register_module()
class MixMAE(MixingPretrainer):
    """Mixtures of two images, encoded with attention masked by source (MixMAE, arXiv 2205.13137).

    Settings not named here are those of `MixingPretrainer`.

    Args:
        backbone: Any encoder that returns a tuple of maps (B, C, h, w), the last on the grid of the cells. If its
            `forward` takes (images, assignment), it masks its attention itself; if not, `SourceMasking` does it for
            encoders of mmpretrain, mmdet, mmseg and timm.
        masked_attention: Let tokens attend to their own source only.

    Raises:
        ValueError: attention is to be masked and that of the encoder is not known.
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
        takes_assignment = 'assignment' in inspect.signature(self.backbone.forward).parameters
        self.masking = SourceMasking(self.backbone) if masked_attention and not takes_assignment else None

    def encode(self, images: MixedImages) -> tuple[Tensor, ...]:
        """Encode mixtures: maps (G, C, h, w)."""
        if not self.masked_attention:
            return self.backbone(images.mixed)
        if self.masking is None:
            return self.backbone(images.mixed, images.assignment)
        num_sources, masked = images.sources.shape[1], images.ids_keep is not None
        with self.masking.encoding(images.mixed, images.assignment, num_sources, masked):
            return self.backbone(images.mixed)
