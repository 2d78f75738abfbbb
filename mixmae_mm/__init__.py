"""Mixing-based masked image modeling (MixMAE, MixedAE) as an OpenMMLab plugin."""

from mixmae_mm.version import __version__

__all__ = ['__version__']
