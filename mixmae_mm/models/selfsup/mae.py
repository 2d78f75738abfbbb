"""MAE: MixedAE of one image at a time, as a type of its own."""

from mixmae_mm.models.selfsup.mixedae import MixedAE
from mixmae_mm.registry import MODELS


@MODELS.register_module()
class MAE(MixedAE):
    """Masked autoencoder: the encoder sees the visible patches of an image alone (MAE, arXiv 2111.06377).

    Args:
        settings: Those of `MixedAE`: a preprocessor with one source and a `mask_ratio`, a backbone with global
            attention, and no contrastive loss.
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
