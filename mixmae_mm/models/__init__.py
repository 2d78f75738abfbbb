"""Models by role, one file each."""

from mixmae_mm.models.contrastive import HomologousContrastiveLoss
from mixmae_mm.models.data_preprocessor import MixingDataPreprocessor
from mixmae_mm.models.heads import MixReconstructionHead
from mixmae_mm.models.mix_decoder import MixDecoder
from mixmae_mm.models.mixedae import MixedAE
from mixmae_mm.models.mixedae_vit import MixedAEViT
from mixmae_mm.models.mixmae import MixMAE
from mixmae_mm.models.mixmim_swin import MixMIMSwin
from mixmae_mm.models.vit_pyramid import ChannelNorm, ViTPyramid

__all__ = [
    'ChannelNorm',
    'HomologousContrastiveLoss',
    'MixDecoder',
    'MixMAE',
    'MixMIMSwin',
    'MixReconstructionHead',
    'MixedAE',
    'MixedAEViT',
    'MixingDataPreprocessor',
    'ViTPyramid',
]
