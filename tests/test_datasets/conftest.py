"""A folder of small pictures."""

import numpy as np
import pytest
from PIL import Image

NAMES = ('b.jpg', 'a.PNG', 'c/d/e.jpeg', 'c/a.bmp', 'c/b.webp', 'z.tif', 'c/d/a.JPG', 'd.ppm')


@pytest.fixture
def save_picture():
    """Write a picture of noise, (H, W) pixels."""

    def save(path, seed=0, size=(24, 32)):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)).save(path)

    return save


@pytest.fixture
def picture_folder(tmp_path, save_picture):
    """Eight pictures at several depths."""
    for number, name in enumerate(NAMES):
        save_picture(tmp_path / name, seed=number)
    return str(tmp_path)
