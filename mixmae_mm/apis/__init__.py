"""Python API for pre-trained models: encoders by name, from files or the hub; features and reconstructions."""

from mixmae_mm.utils import compat

compat.apply()  # before torch and the libraries that it patches

from mixmae_mm.apis.encoder_file import fetch, from_hub, save_encoder, save_pretrained
from mixmae_mm.apis.feature_extractor import FeatureExtractor
from mixmae_mm.apis.model import get_model, list_models
from mixmae_mm.apis.reconstruction_inferencer import ReconstructionInferencer

__all__ = [
    'FeatureExtractor',
    'ReconstructionInferencer',
    'fetch',
    'from_hub',
    'get_model',
    'list_models',
    'save_encoder',
    'save_pretrained',
]
