"""MixMAE: pre-training of hierarchical encoders."""

import inspect

from torch import Tensor

from mixmae_mm.mixing import MixedImages, resize_assignment
from mixmae_mm.models.selfsup.base import MixingPretrainer
from mixmae_mm.models.utils.source_masking import SourceMasking
from mixmae_mm.registry import MODELS


@MODELS.register_module()
class MixMAE(MixingPretrainer):
    """Mixed and masked autoencoder, whose attention is masked by source (MixMAE, arXiv 2205.13137).

    Two images are mixed by default. Arguments not listed here are those of `MixingPretrainer`.

    Args:
        backbone: Any encoder that returns a tuple of maps (B, C, h, w), the last on the grid of the cells. If its
            `forward` takes (images, assignment), it must mask its attention itself; otherwise `SourceMasking` does so
            for encoders of mmpretrain, mmdet, mmseg and timm.
        masked_attention: Let tokens attend only to tokens of their own source.
        contrast: Loss of features (G, N, C) and labels (G or 1, N), such as `HomologousContrastiveLoss`, that makes
            tokens of the same source attract each other; None for none.
        contrast_stage: Index of the returned map whose tokens are the features.

    Raises:
        ValueError: the encoder's attention cannot be masked, settings of the parts contradict each other, or cells are
            left without a source although there is a contrastive loss.
    """

    def __init__(
        self,
        data_preprocessor: dict,
        backbone: dict,
        neck: dict,
        head: dict,
        masked_attention: bool = True,
        contrast: dict | None = None,
        contrast_stage: int = -1,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(data_preprocessor, backbone, neck, head, init_cfg)
        self.masked_attention = masked_attention
        takes_assignment = 'assignment' in inspect.signature(self.backbone.forward).parameters
        self.masking = SourceMasking(self.backbone) if masked_attention and not takes_assignment else None
        self.contrast = None if contrast is None else MODELS.build(contrast)
        self.contrast_stage = contrast_stage
        self._check_parts()

    def _check_parts(self) -> None:
        """Check settings of encoder and head that depend on the number of images in a mixture or on an assignment."""
        mixed, segments = self.data_preprocessor.num_sources, getattr(self.backbone, 'num_segments', 0)
        if 0 < segments < mixed:
            raise ValueError(
                f'the preprocessor mixes {mixed} images, but the encoder has vectors for {segments}: set num_segments '
                f'to {mixed}'
            )
        if not self.masked_attention and (segments or getattr(self.backbone, 'attention', 'true') == 'homologous'):
            raise ValueError(
                'masked_attention=False gives the encoder no assignment, which its num_segments and '
                "attention='homologous' need: leave it out, and set the encoder's attention='global' to mask nothing"
            )
        shares = self.data_preprocessor.shares or (1 / mixed,) * mixed
        if self.contrast is not None and (mixed == 1 or sum(shares) < 1 - 1e-6):
            given = 'one image in a mixture' if mixed == 1 else f'a mixture by shares {tuple(shares)}'
            raise ValueError(
                f'{given} leaves cells without a source, which a contrastive loss cannot label: mix two images or '
                'more, with shares that add up to 1'
            )
        if (self.head.num_reconstructed or 0) > mixed:
            raise ValueError(f'num_reconstructed {self.head.num_reconstructed} of the head is more than {mixed} images')

    def encode(self, images: MixedImages) -> tuple[Tensor, ...]:
        """Encode mixtures: maps (G, C, h, w)."""
        if not self.masked_attention:
            return self.backbone(images.mixed)
        if self.masking is None:
            return self.backbone(images.mixed, images.assignment)
        num_sources, masked = images.sources.shape[1], images.ids_keep is not None
        with self.masking.encoding(images.mixed, images.assignment, num_sources, masked):
            return self.backbone(images.mixed)

    def decode(self, images: MixedImages, maps: tuple[Tensor, ...] | None = None) -> Tensor:
        """Predict the pixels of every source of every mixture: (G, K, N, P)."""
        maps = self.encode(images) if maps is None else maps
        return self.neck(maps, images.assignment, images.sources.shape[1])

    def loss(self, images: MixedImages) -> dict[str, Tensor]:
        """Return the losses and, if the encoder guesses keys, their precision in each block."""
        maps = self.encode(images)
        losses = self.head.loss(self.decode(images, maps), images)
        precision = getattr(self.backbone, 'precision', {})
        losses |= {f'topk_precision/block_{index}': share for index, share in precision.items()}
        if self.contrast is not None:
            losses['loss_contrastive'] = self.contrast(*self._features(maps, images.assignment))
        return losses

    def _features(self, maps: tuple[Tensor, ...], assignment: Tensor) -> tuple[Tensor, Tensor]:
        """Return the features for the contrastive loss, (G, N, C), and their sources, (G or 1, N)."""
        if not -len(maps) <= self.contrast_stage < len(maps):
            raise ValueError(
                f'the encoder returns {len(maps)} map(s), but contrast_stage is {self.contrast_stage}: use 0 to '
                f"{len(maps) - 1}, or add to the encoder's out_indices"
            )
        features = maps[self.contrast_stage]
        labels = resize_assignment(assignment, tuple(features.shape[-2:])).flatten(1)
        return features.flatten(2).transpose(1, 2), labels
