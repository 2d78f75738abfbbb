"""The pre-training models: wiring only.

Letters: B images, G mixtures, K sources, C channels, H x W pixels.
"""

import inspect
from typing import NamedTuple

from mmengine.model import BaseModel
from torch import Tensor

from mixmae_mm.mixing import MixedImages
from mixmae_mm.registry import MODELS


class Reconstructions(NamedTuple):
    """Pictures to look at, uint8."""

    sources: Tensor
    """The originals of each mixture, (G, K, C, H, W)."""
    mixed: Tensor
    """What the encoder saw, (G, C, H, W)."""
    reconstructed: Tensor
    """Each original as decoded: predicted where it was hidden, itself where it was shown, (G, K, C, H, W)."""
    assignment: Tensor
    """Which source each cell showed, (G or 1, h, w)."""


@MODELS.register_module()
class MixMAE(BaseModel):
    """Mix images, encode the mixtures, reconstruct every source (MixMAE, arXiv 2205.13137).

    Args:
        data_preprocessor: Where images are mixed, a `MixingDataPreprocessor`.
        backbone: The encoder. Any will do that returns a tuple of maps (B, C, h, w), the last on the grid of the cells.
        neck: The decoder, a `MixDecoder`.
        head: The loss, a `MixReconstructionHead`.
        masked_attention: Show the encoder the assignment, so that tokens attend to their own source only. An encoder
            that takes no assignment, like the stock ones of mmpretrain, needs False.
        init_cfg: mmengine's.

    Raises:
        ValueError: `masked_attention` with an encoder that takes no assignment.
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
        super().__init__(MODELS.build(data_preprocessor), init_cfg)
        self.backbone = MODELS.build(backbone)
        self.neck = MODELS.build(neck)
        self.head = MODELS.build(head)
        self.masked_attention = masked_attention
        if masked_attention and 'assignment' not in inspect.signature(self.backbone.forward).parameters:
            raise ValueError(
                f'{type(self.backbone).__name__} takes no assignment, so its attention cannot be masked: '
                'set masked_attention=False, or use mixmae_mm.MixMIMSwin'
            )

    def forward(
        self, inputs: Tensor | MixedImages, data_samples: object = None, mode: str = 'tensor'
    ) -> dict[str, Tensor] | Reconstructions | tuple[Tensor, ...]:
        """Answer as mmengine's models do.

        Args:
            inputs: Normalised images (B, C, H, W), or what the preprocessor mixed of them.
            data_samples: Not used: nothing is labelled.
            mode: 'loss' gives named losses, 'predict' `Reconstructions`, 'tensor' the encoder's maps of plain images.

        Raises:
            ValueError: an unknown mode.
        """
        if mode == 'tensor':
            return self.encode(inputs) if isinstance(inputs, MixedImages) else self.backbone(inputs)
        images = inputs if isinstance(inputs, MixedImages) else self.data_preprocessor.mix(inputs)
        if mode == 'loss':
            return self.loss(images)
        if mode == 'predict':
            return self.predict(images)
        raise ValueError(f"mode '{mode}' is unknown: take 'loss', 'predict' or 'tensor'")

    def encode(self, images: MixedImages) -> tuple[Tensor, ...]:
        """Encode mixtures: maps (G, C, h, w)."""
        return self.backbone(images.mixed, *([images.assignment] if self.masked_attention else []))

    def decode(self, images: MixedImages) -> Tensor:
        """Predict the pixels of every source of every mixture: (G, K, N, P)."""
        return self.neck(self.encode(images), images.assignment, images.sources.shape[1])

    def loss(self, images: MixedImages) -> dict[str, Tensor]:
        """Tell how far the predictions of what is hidden are off."""
        return self.head.loss(self.decode(images), images)

    def predict(self, images: MixedImages) -> Reconstructions:
        """Reconstruct the sources, as pictures."""
        reconstructed = self.head.reconstruct(self.decode(images), images)
        pictures = [self.data_preprocessor.denormalise(x) for x in (images.sources, images.mixed, reconstructed)]
        return Reconstructions(*pictures, images.assignment)
