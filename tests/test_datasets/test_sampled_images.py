import pytest
import torch
from torch.utils.data import IterableDataset

from mixmae_mm.datasets import ImageFolder, LoadImage, LoadRandomResizedCrop, SeedSample
from mixmae_mm.datasets.sampled_images import choose_images


def pack(results):
    return dict(inputs=torch.from_numpy(results['img'].copy()).permute(2, 0, 1))


def test_a_seeded_choice_without_repeats_comes_as_training_crops_it(image_folder):
    whole = ImageFolder(image_folder, [LoadImage(), pack])
    crops = ImageFolder(
        image_folder, [SeedSample(), LoadRandomResizedCrop(scale=16, crop_ratio_range=(0.2, 0.9)), pack]
    )
    first, again, other = (choose_images(whole, 5, seed) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.shape == (5, 3, 24, 32)
    assert len({tuple(image.flatten().tolist()) for image in first}) == 5
    assert len(choose_images(whole, 100, 0)) == 8
    one, two = (choose_images(crops, 4, 3) for _ in range(2))
    assert torch.equal(one, two)
    assert one.shape == (4, 3, 16, 16)


def test_a_stream_is_refused():
    class Stream(IterableDataset):
        def __iter__(self):
            return iter([])

    with pytest.raises(ValueError, match='^Stream is a stream, of which no images can be chosen'):
        choose_images(Stream(), 2, 0)
