"""An example repository on top of mixmae_mm: one backbone of its own, and configs that inherit."""

from my_mixing.cell_mixer import CellMixer

__all__ = ['CellMixer']
