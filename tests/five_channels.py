"""Models for images with five 16-bit channels, such images, and how they are displayed."""

import numpy as np

MEAN, STD = (2000.0, 1500.0, 900.0, 500.0, 100.0), (400.0, 300.0, 200.0, 100.0, 50.0)
READING = dict(type='mixmae_mm.LoadMultispectralRandomResizedCrop', scale=32, channels=5)


def with_five_channels(method, **settings):
    """Return the settings of a tiny model for five channels."""
    model = method(mean=MEAN, std=STD, **settings)
    model['backbone']['in_channels'] = model['neck']['image_channels'] = 5
    return model


def write_five_channels(folder, count=8):
    """Write images of 32 px, each of one color, and return their files."""
    folder.mkdir(parents=True)
    generator = np.random.default_rng(0)
    for number in range(count):
        flat = np.array(MEAN) + np.array(STD) * generator.uniform(-2, 2, 5)
        np.save(folder / f'{number}.npy', np.broadcast_to(flat, (32, 32, 5)).astype(np.uint16))
    return sorted(folder.iterdir())


def color_of(file):
    """Return the displayed color: three channels, 2.5 standard deviations to either side of the mean."""
    flat = np.load(file)[0, 0].astype(float)
    return np.round(127.5 * (1 + (flat - MEAN) / STD / 2.5)).clip(0, 255)[:3]
