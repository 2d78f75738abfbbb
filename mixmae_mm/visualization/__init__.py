"""Image grids of the outputs of models, and visualization backends."""

from mixmae_mm.visualization.backends import MLflowImagesBackend
from mixmae_mm.visualization.homologous_grid import draw_homologous
from mixmae_mm.visualization.image_grid import Mark, Panel, draw_grid
from mixmae_mm.visualization.reconstruction_grid import describe, draw_rows, flattery, masked_labels

__all__ = [
    'MLflowImagesBackend',
    'Mark',
    'Panel',
    'describe',
    'draw_grid',
    'draw_homologous',
    'draw_rows',
    'flattery',
    'masked_labels',
]
