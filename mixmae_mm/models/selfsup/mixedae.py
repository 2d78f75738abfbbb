"""MixedAE, of which MAE with naive mixing is a special case.

Letters: G mixtures, K sources, N patches, n <= N of them encoded, C channels, P = patch_size * patch_size * channels.
"""

from torch import Tensor, nn

from mixmae_mm.mixing import MixedImages, gather_tokens
from mixmae_mm.models.backbones.mixing_vit import Encoded
from mixmae_mm.models.selfsup.base import MixingPretrainer
from mixmae_mm.registry import MODELS


@MODELS.register_module()
class MixedAE(MixingPretrainer):
    """Mixed autoencoder: patches of mixtures learn to recognize those of their own image (MixedAE, arXiv 2303.17152).

    With global attention, no segment embedding and no contrastive loss, it is MAE with naive mixing. Arguments not
    listed here are those of `MixingPretrainer`.

    Args:
        backbone: The encoder, a `MixingViT` for the same number of sources.
        contrast: Loss of features (G, n, C) and labels (G or 1, n), such as `HomologousContrastiveLoss`; None for none.
        projection_dims: Output channels of a two-layer MLP that projects the features; None for no projection.
    """

    def __init__(
        self,
        data_preprocessor: dict,
        backbone: dict,
        neck: dict,
        head: dict,
        contrast: dict | None = None,
        projection_dims: int | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(data_preprocessor, backbone, neck, head, init_cfg)
        self.contrast = None if contrast is None else MODELS.build(contrast)
        dims = self.backbone.arch.embed_dims
        self.projection = nn.Identity()
        if projection_dims is not None:
            self.projection = nn.Sequential(nn.Linear(dims, dims), nn.GELU(), nn.Linear(dims, projection_dims))
        if self.backbone.num_sources != self.data_preprocessor.num_sources:
            raise ValueError(
                f'the preprocessor mixes {self.data_preprocessor.num_sources} images, but the encoder is for '
                f'{self.backbone.num_sources}: set num_sources of both to the same'
            )

    def encode(self, images: MixedImages) -> Encoded:
        """Encode mixtures, without patches that no source fills, as in MAE."""
        return self.backbone.encode(images.mixed, images.assignment, images.ids_keep)

    def decode(self, images: MixedImages, encoded: Encoded | None = None) -> Tensor:
        """Predict the pixels of every source of every mixture: (G, K, N, P)."""
        encoded = self.encode(images) if encoded is None else encoded
        cls = encoded.cls if self.neck.cls_token else None
        return self.neck(encoded.maps, images.assignment, images.sources.shape[1], cls, images.ids_keep)

    def loss(self, images: MixedImages) -> dict[str, Tensor]:
        """Return the losses, and the precision of the keys that each block keeps."""
        encoded = self.encode(images)
        losses = self.head.loss(self.decode(images, encoded), images)
        if self.contrast is not None:
            losses['loss_contrastive'] = self.contrast(*self._features(encoded, images))
        return losses | {f'topk_precision/block_{i}': precision for i, precision in encoded.precision.items()}

    def _features(self, encoded: Encoded, images: MixedImages) -> tuple[Tensor, Tensor]:
        """Return the features for the contrastive loss, (G, n, C), and their sources, (G or 1, n)."""
        features, labels = encoded.maps[-1].flatten(2).transpose(1, 2), images.assignment.flatten(1)
        if images.ids_keep is not None:
            features, labels = gather_tokens(features, images.ids_keep), labels.gather(1, images.ids_keep)
        return self.projection(features), labels
