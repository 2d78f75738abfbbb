"""Drawing what models do, for tools and hooks alike."""

from mixmae_mm.visualization.sheets import describe, draw_rows

__all__ = ['describe', 'draw_rows']
