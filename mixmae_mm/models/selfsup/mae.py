"""MAE: MixedAE with one source."""

from mixmae_mm.models.selfsup.mixedae import MixedAE
from mixmae_mm.registry import MODELS


@MODELS.register_module()
class MAE(MixedAE):
    """Masked autoencoder: only the visible patches of an image are encoded (MAE, arXiv 2111.06377).

    Args:
        settings: Those of `MixedAE`, with `num_sources=1` and a `mask_ratio` in the preprocessor, global attention in
            the backbone, and no contrastive loss.
    """

    def __init__(self, **settings: object) -> None:
        super().__init__(**settings)
        sources, ratio = self.data_preprocessor.num_sources, self.data_preprocessor.mask_ratio
        if sources != 1 or not ratio or self.contrast is not None:
            raise ValueError(
                f'MAE masks one image and has no contrastive loss, got num_sources={sources}, mask_ratio={ratio} and '
                f'contrast={self.contrast}: set num_sources=1, mask_ratio=0.75 and contrast=None, or use '
                'mixmae_mm.MixedAE'
            )
