"""Drawing what models do, for tools and hooks alike."""

from mixmae_mm.visualization.backends import MLflowPicturesBackend
from mixmae_mm.visualization.homologous_sheet import draw_homologous
from mixmae_mm.visualization.sheets import describe, draw_rows

__all__ = ['MLflowPicturesBackend', 'describe', 'draw_homologous', 'draw_rows']
