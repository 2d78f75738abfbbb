"""A choice of a training set's images."""

import pytest
import torch

from mixmae_mm.datasets import ImageFolder, LoadRandomResizedCrop, SeedSample
from mixmae_mm.datasets.sampled_images import choose_images


def test_a_seeded_choice_without_repeats_comes_as_training_crops_it(image_folder):
    def pack(results):
        return dict(inputs=torch.from_numpy(results['img'].copy()).permute(2, 0, 1))

    crops = ImageFolder(image_folder, [SeedSample(), LoadRandomResizedCrop(scale=16), pack])
    first, again, other = (choose_images(crops, 5, seed) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.shape == (5, 3, 16, 16)
    assert len({tuple(image.flatten().tolist()) for image in first}) == 5
    assert len(choose_images(crops, 100, 0)) == 8


def test_a_stream_is_refused():
    with pytest.raises(ValueError, match='^list_iterator is a stream, of which no images can be chosen'):
        choose_images(iter([]), 2, 0)
