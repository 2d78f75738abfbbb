"""Mixing-based masked image modelling (MixMAE, MixedAE) as an OpenMMLab plugin."""

from mixmae_mm.utils import compat
from mixmae_mm.version import __version__

compat.apply()  # before anything imports torchvision

__all__ = ['__version__']
