"""The base class of the pre-training methods.

Letters: B images, G mixtures, K sources, N cells, C channels, H x W pixels, P = cell_size * cell_size * C.
"""

from mmengine.model import BaseModel
from torch import Tensor

from mixmae_mm.checkpoint.loading import load_by_name, load_pretrainer, take_pretrained
from mixmae_mm.mixing import MixedImages
from mixmae_mm.models.backbones.base import Encoder
from mixmae_mm.registry import MODELS
from mixmae_mm.structures import Reconstructions


class MixingPretrainer(BaseModel):
    """Base class of methods that mix, encode and reconstruct images; subclasses define `encode`.

    Args:
        data_preprocessor: A `MixingDataPreprocessor`, which mixes the images.
        backbone: The encoder.
        neck: The decoder, a `MixDecoder`.
        head: The loss, a `MixReconstructionHead`.
        init_cfg: `dict(type='Pretrained', checkpoint=...)` loads encoder and decoder from a file of ours, an official
            one (MAE, MixMIM) or mmpretrain's, and raises `ValueError` if any of their weights is missing, except
            norms of intermediate maps and segment embeddings.
    """

    def __init__(
        self, data_preprocessor: dict, backbone: dict, neck: dict, head: dict, init_cfg: dict | None = None
    ) -> None:
        super().__init__(MODELS.build(data_preprocessor), init_cfg)
        self.backbone = MODELS.build(backbone)
        self.neck = MODELS.build(neck)
        self.head = MODELS.build(head)

    def init_weights(self) -> None:
        """Load what `init_cfg` of the parts names, then that of the model; constructors have initialized the rest."""
        files = take_pretrained(self)
        super().init_weights()
        for file in files:
            if isinstance(self.backbone, Encoder):
                load_pretrainer(self, file['checkpoint'], file.get('prefix'))
            else:
                load_by_name(self, file['checkpoint'], file.get('prefix', ''))

    def forward(
        self, inputs: Tensor | MixedImages, data_samples: object = None, mode: str = 'tensor'
    ) -> dict[str, Tensor] | Reconstructions | tuple[Tensor, ...]:
        """Return named losses (mode 'loss'), `Reconstructions` ('predict') or the encoder's maps ('tensor').

        `inputs` are normalized images (B, C, H, W), or the preprocessor's mixtures of them.
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
        raise NotImplementedError

    def decode(self, images: MixedImages) -> Tensor:
        """Predict the pixels of every source of every mixture: (G, K, N, P)."""
        return self.neck(self.encode(images), images.assignment, images.sources.shape[1])

    def loss(self, images: MixedImages) -> dict[str, Tensor]:
        """Return the reconstruction loss."""
        return self.head.loss(self.decode(images), images)

    def predict(self, images: MixedImages) -> Reconstructions:
        """Reconstruct the sources, as uint8 images."""
        reconstructed = self.head.reconstruct(self.decode(images), images)
        pixels = [self.data_preprocessor.denormalize(x) for x in (images.sources, images.mixed, reconstructed)]
        return Reconstructions(*pixels, images.assignment)
