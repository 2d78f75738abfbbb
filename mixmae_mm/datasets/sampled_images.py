"""A few pictures of a training set, as training gets them.

Letters: B pictures, C channels, H x W pixels.
"""

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from mixmae_mm.datasets.samplers.seeded import SeededIndex
from mixmae_mm.utils.seed import fold, seeded


def choose_pictures(dataset: Dataset, wanted: int, seed: int) -> Tensor:
    """Take pictures by lot, cropped and flipped by the dataset's own pipeline: (B, C, H, W), B up to `wanted`.

    The same seed gives the same pictures; random states are afterwards what they were.

    Raises:
        ValueError: the dataset is a stream.
    """
    if not (hasattr(dataset, '__getitem__') and hasattr(dataset, '__len__')):
        raise ValueError(f'{type(dataset).__name__} is a stream, of which no pictures can be chosen: name a folder')
    numbers = np.random.default_rng(seed).permutation(len(dataset))[:wanted]
    visits = (SeededIndex(int(number), fold(seed, int(number))) for number in numbers)
    with seeded(seed):
        return torch.stack([dataset[visit]['inputs'] for visit in visits])
