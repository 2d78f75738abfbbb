"""Models by role, one file each."""

from mixmae_mm.models.data_preprocessor import MixingDataPreprocessor
from mixmae_mm.models.heads import MixReconstructionHead
from mixmae_mm.models.mix_decoder import MixDecoder
from mixmae_mm.models.mixmim_swin import MixMIMSwin
from mixmae_mm.models.pretrainers import MixMAE

__all__ = ['MixDecoder', 'MixMAE', 'MixMIMSwin', 'MixReconstructionHead', 'MixingDataPreprocessor']
