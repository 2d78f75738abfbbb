"""Drawing what models do, for tools and hooks alike."""

from mixmae_mm.visualization.backends import MLflowImagesBackend
from mixmae_mm.visualization.homologous_grid import draw_homologous
from mixmae_mm.visualization.image_grid import describe, draw_rows, flattery, masked_labels
from mixmae_mm.visualization.tiles import Mark, Tile, draw_tiles, heat_map, join_marks

__all__ = [
    'MLflowImagesBackend',
    'Mark',
    'Tile',
    'describe',
    'draw_homologous',
    'draw_rows',
    'draw_tiles',
    'flattery',
    'heat_map',
    'masked_labels',
    'join_marks',
]
