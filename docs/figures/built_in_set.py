"""Draw some scenes of each material of the built-in set: docs/images/materials.png.

python docs/figures/built_in_set.py
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
ROWS, SIZE, GAP = 3, 64, 2  # scenes of a material, and pixels


def main() -> None:
    """Draw a column for each material."""
    sys.path.append(str(ROOT / 'tools/dataset_tools'))
    from materials.scenes import draw_scene
    from materials.surfaces import CLASSES

    canvas = np.full((ROWS * (SIZE + GAP), len(CLASSES) * (SIZE + GAP), 3), 255, np.uint8)
    for row in range(ROWS):
        for column in range(len(CLASSES)):
            y, x = row * (SIZE + GAP), column * (SIZE + GAP)
            scene = draw_scene(0, 0, row * len(CLASSES) + column, SIZE)
            canvas[y : y + SIZE, x : x + SIZE] = scene.image
    Image.fromarray(canvas).save(ROOT / 'docs/images/materials.png')


if __name__ == '__main__':
    main()
