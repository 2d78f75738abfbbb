"""Models, grouped by role: backbones, necks, heads, losses and pre-training methods."""

from mixmae_mm.models.backbones.mixing_vit import MixingViT
from mixmae_mm.models.backbones.mixmim_swin import MixMIMSwin
from mixmae_mm.models.heads.mix_reconstruction_head import MixReconstructionHead
from mixmae_mm.models.losses.homologous_contrastive_loss import HomologousContrastiveLoss
from mixmae_mm.models.losses.pixel_weights import ThresholdWeights, VarianceWeights
from mixmae_mm.models.necks.mix_decoder import MixDecoder
from mixmae_mm.models.necks.vit_pyramid import ChannelNorm, ViTPyramid
from mixmae_mm.models.selfsup.mae import MAE
from mixmae_mm.models.selfsup.mixedae import MixedAE
from mixmae_mm.models.selfsup.mixmae import MixMAE
from mixmae_mm.models.utils.data_preprocessor import MixingDataPreprocessor

__all__ = [
    'MAE',
    'ChannelNorm',
    'HomologousContrastiveLoss',
    'MixDecoder',
    'MixMAE',
    'MixMIMSwin',
    'MixReconstructionHead',
    'MixedAE',
    'MixingViT',
    'MixingDataPreprocessor',
    'ThresholdWeights',
    'VarianceWeights',
    'ViTPyramid',
]
