"""A few images of a training set, as training gets them."""

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from mixmae_mm.datasets.samplers.seeded import SeededIndex
from mixmae_mm.utils.seed import fold, seeded


def choose_images(dataset: Dataset, wanted: int, seed: int) -> Tensor:
    """Take up to `wanted` images at random, cropped and flipped by the dataset's own pipeline: (B, C, H, W).

    The same seed gives the same images; random states are afterwards what they were.
    """
    if not hasattr(dataset, '__len__'):
        raise ValueError(f'{type(dataset).__name__} is a stream, of which no images can be chosen: name a folder')
    numbers = np.random.default_rng(seed).permutation(len(dataset))[:wanted]
    visits = (SeededIndex(int(number), fold(seed, int(number))) for number in numbers)
    with seeded(seed):
        return torch.stack([dataset[visit]['inputs'] for visit in visits])
