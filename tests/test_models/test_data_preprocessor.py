"""The preprocessor: numbers of a hand-made batch, who is mixed with whom, and what it refuses."""

import pytest
import torch

from mixmae_mm.mixing import NOBODY, MixedImages, mix_images
from mixmae_mm.models import MixingDataPreprocessor


def named_batch(batch=8, size=64, channels=3):
    """Images in which every pixel holds the image's number."""
    numbers = torch.arange(batch, dtype=torch.uint8).view(-1, 1, 1, 1)
    return dict(inputs=numbers.expand(batch, channels, size, size).contiguous(), data_samples=['sample'] * batch)


def plain(**settings):
    """A preprocessor that leaves the pixels' values alone."""
    return MixingDataPreprocessor(mean=[0.0] * 3, std=[1.0] * 3, **settings)


def test_normalizing_by_hand():
    image = torch.tensor([[[[124]], [[116]], [[104]]]], dtype=torch.uint8)
    out = MixingDataPreprocessor()(dict(inputs=image))['inputs']
    expected = [(124 - 123.675) / 58.395, (116 - 116.28) / 57.12, (104 - 103.53) / 57.375]
    torch.testing.assert_close(out.flatten(), torch.tensor(expected))
    bgr = MixingDataPreprocessor(mean=[10, 20, 30], std=[1, 1, 1], bgr_to_rgb=True)
    assert bgr(dict(inputs=image))['inputs'].flatten().tolist() == [104 - 10, 116 - 20, 124 - 30]


def test_denormalizing_gives_the_images_back():
    preprocessor = MixingDataPreprocessor()
    images = torch.randint(0, 256, (2, 3, 4, 4), dtype=torch.uint8)
    assert torch.equal(preprocessor.denormalize(preprocessor.normalize(images)), images)
    assert preprocessor.denormalize(torch.full((3, 1, 1), 99.0)).flatten().tolist() == [255, 255, 255]


def test_outside_training_images_stay_plain():
    out, batch = plain()(named_batch(3)), named_batch(3)
    assert torch.equal(out['inputs'], batch['inputs'].float())
    assert out['data_samples'] == batch['data_samples']


@pytest.mark.parametrize('sources', [2, 4])
def test_every_image_leads_one_mixture_of_its_group(sources):
    mixed = plain(num_sources=sources)(named_batch(), training=True)['inputs']
    assert isinstance(mixed, MixedImages)
    assert mixed.assignment.shape == (1, 2, 2)
    names = mixed.sources[:, :, 0, 0, 0].int()
    assert names[:, 0].tolist() == list(range(8))
    for row in names.tolist():
        assert sorted(row) == list(range(row[0] // sources * sources, row[0] // sources * sources + sources))
    assert torch.equal(mixed.mixed, mix_images(mixed.sources, mixed.assignment))


def test_groups_may_have_maps_of_their_own():
    mixed = plain(shared_assignment=False)(named_batch(16, size=224), training=True)['inputs']
    assert mixed.assignment.shape == (16, 7, 7)
    assert torch.equal(mixed.assignment[0::2], mixed.assignment[1::2])
    assert len({tuple(one.flatten().tolist()) for one in mixed.assignment[0::2]}) == 8


def test_the_mask_ratio_reaches_the_assignment():
    mixed = plain(mask_ratio=0.25)(named_batch(2, size=224), training=True)['inputs']
    assert (mixed.assignment == 1).sum() == 12


@pytest.mark.parametrize('channels', [1, 3, 4, 13])
def test_any_number_of_channels(channels):
    preprocessor = MixingDataPreprocessor(mean=range(channels), std=range(1, channels + 1))
    out = preprocessor(named_batch(2, channels=channels), training=True)['inputs']
    expected = [(1 - c) / (c + 1) for c in range(channels)]
    torch.testing.assert_close(out.sources[1, 0, :, 0, 0], torch.tensor(expected))


@pytest.mark.parametrize(
    ('batch', 'settings', 'message'),
    [
        (named_batch(7), {}, 'batch of 7 images cannot be split into groups of 2: make batch_size a multiple of 2'),
        (named_batch(4, size=100), {}, 'images of 100 x 100 pixels cannot be split into cells of 32 x 32'),
        (named_batch(4, size=80), dict(cell_size=16, block_size=2), 'into cells of 32 x 32 .* multiples of 32$'),
        (named_batch(4, channels=1), {}, 'images have 1 channels, but mean and std are for 3'),
        (named_batch(4, size=32), dict(num_sources=4), '1 cells with a mask_ratio of None cannot be split among 4'),
    ],
)
def test_what_it_refuses(batch, settings, message):
    with pytest.raises(ValueError, match=message):
        plain(**settings)(batch, training=True)


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(num_sources=1), 'one source leaves nothing to reconstruct: set mask_ratio'),
        (dict(num_sources=0), 'num_sources must be a whole number, 1 or more, got 0'),
        (dict(mask_ratio=0.5, shares=(0.5, 0.5)), r'mask_ratio 0.5 and shares \(0.5, 0.5\) are redundant'),
    ],
)
def test_settings_that_do_not_go_together_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        plain(**settings)


def test_one_source_is_masked():
    settings = dict(num_sources=1, mask_ratio=0.75, take_turns=False, shared_assignment=False, cell_size=16)
    mixed = plain(**settings)(named_batch(), training=True)['inputs']
    images = named_batch()['inputs'].float()
    masked = (mixed.assignment == NOBODY).repeat_interleave(16, 1).repeat_interleave(16, 2)
    assert (masked.flatten(1).float().mean(1) == 0.75).all()
    assert torch.equal(mixed.mixed, images.masked_fill(masked[:, None], 0))
    assert mixed.ids_keep.tolist() == [(row != NOBODY).nonzero()[:, 0].tolist() for row in mixed.assignment.flatten(1)]
    assert (mixed.assignment[0] != mixed.assignment[1]).any()
