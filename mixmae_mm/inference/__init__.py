"""Encoders by name, and features of pictures, from Python: `get_model`, `list_models`, `FeatureExtractor`."""

from mixmae_mm.inference.features import FeatureExtractor
from mixmae_mm.inference.models import get_model, list_models

__all__ = ['FeatureExtractor', 'get_model', 'list_models']
