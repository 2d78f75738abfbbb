"""A folder of small images."""

import numpy as np
import pytest
from PIL import Image

NAMES = ('b.jpg', 'a.PNG', 'c/d/e.jpeg', 'c/a.bmp', 'c/b.webp', 'z.tif', 'c/d/a.JPG', 'd.ppm')


@pytest.fixture
def save_image():
    """Write an image of noise, (H, W) pixels."""

    def save(path, seed=0, size=(24, 32)):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)).save(path)

    return save


@pytest.fixture
def image_folder(tmp_path, save_image):
    """Eight images at several depths."""
    for number, name in enumerate(NAMES):
        save_image(tmp_path / name, seed=number)
    return str(tmp_path)
