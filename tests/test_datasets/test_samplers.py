"""Samplers whose indices carry seeds, and the transform that uses them."""

import itertools
import pickle
import random

import numpy as np
import pytest
import torch
from mmengine.dataset import BaseDataset, ConcatDataset, DefaultSampler, InfiniteSampler, RepeatDataset

from mixmae_mm.datasets import (
    ImageFolder,
    LoadRandomResizedCrop,
    SeededIndex,
    SeededInfiniteSampler,
    SeededSampler,
    SeedSample,
)
from mixmae_mm.datasets.samplers.seeded import choose_images
from mixmae_mm.utils.seed import fold


def seeds(indices):
    return [index.seed for index in indices]


def take(sampler, count):
    return list(itertools.islice(iter(sampler), count))


def stream(seed=5, size=4, rank=0, world_size=1):
    sampler = SeededInfiniteSampler(range(size), seed=seed)
    sampler.rank, sampler.world_size = rank, world_size
    return sampler


def test_an_index_keeps_its_seed_through_pickling_and_the_arithmetic_of_dataset_wrappers():
    index = pickle.loads(pickle.dumps(SeededIndex(7, seed=2**62)))
    found = [(int(i), i.seed) for i in (index, index + 2, index - 5, index % 4)]
    assert found == [(number, 2**62) for number in (7, 9, 2, 3)]


def test_a_seed_depends_on_run_epoch_and_index_only():
    sampler = SeededSampler(range(20), shuffle=True, seed=9)
    sampler.set_epoch(4)
    assert {int(i): i.seed for i in sampler} == {i: fold(9, 4, i) for i in range(20)}


def test_the_stream_goes_round_with_new_seeds():
    indices = take(stream(size=4), 12)
    assert [sorted(indices[start : start + 4]) for start in (0, 4, 8)] == [[0, 1, 2, 3]] * 3
    assert seeds(indices) == [fold(5, position) for position in range(12)]


def test_skipping_is_absolute_and_ends_where_straight_reading_does():
    straight = take(stream(), 15)
    resumed = stream()
    resumed.skip(3)
    resumed.skip(9)
    assert take(resumed, 6) == straight[9:]
    resumed.skip(9)
    assert seeds(take(resumed, 6)) == seeds(straight[9:])
    with pytest.raises(ValueError, match='cannot skip -1 samples'):
        resumed.skip(-1)


def test_ranks_share_one_stream():
    whole = take(stream(), 12)
    for rank in range(3):
        part = stream(rank=rank, world_size=3)
        part.skip(1)
        indices = take(part, 3)
        assert (indices, seeds(indices)) == (whole[rank + 3 :: 3], seeds(whole[rank + 3 :: 3]))


def draw(index):
    SeedSample()(dict(sample_idx=index))
    return random.random(), np.random.rand(), torch.rand(()).item()


def test_seeding_decides_all_three_generators():
    assert draw(SeededIndex(0, seed=4)) == draw(SeededIndex(1, seed=4))
    assert all(a != b for a, b in zip(draw(SeededIndex(0, seed=4)), draw(SeededIndex(0, seed=5)), strict=True))


def test_an_index_without_seed_is_refused_with_the_way_out():
    with pytest.raises(ValueError, match=r'got 3: set .*mixmae_mm\.SeededSampler'):
        SeedSample()(dict(sample_idx=3))


class Numbers(BaseDataset):
    def load_data_list(self):
        return [dict(number=number) for number in range(100)]


def test_a_sample_drawn_in_place_of_one_given_up_follows_from_the_first_ones_seed():
    """mmengine draws another index by itself, without a seed, when a pipeline returns None."""
    given_up = []

    def choose(results):
        given_up.append(results['sample_idx'])
        return None if len(given_up) % 3 else (results['number'], random.random())

    dataset = Numbers(pipeline=[SeedSample(), choose])
    first = dataset[SeededIndex(1, seed=8)]
    assert len(given_up) == 3
    random.seed(5)
    np.random.seed(5)
    assert dataset[SeededIndex(1, seed=8)] == first
    assert dataset[SeededIndex(1, seed=9)] != first


@pytest.mark.parametrize('wrap', [lambda x: ConcatDataset([x, x]), lambda x: RepeatDataset(x, times=2)])
def test_seeds_reach_a_wrapped_dataset(image_folder, wrap):
    folder = ImageFolder(image_folder, pipeline=[SeedSample(), lambda results: results['sample_idx']])
    index = wrap(folder)[SeededIndex(len(folder) + 1, seed=8)]
    assert (index, index.seed) == (1, 8)


SIZES = [1, 2, 3, 7, 10, 11, 24, 25]


@pytest.mark.parametrize('shuffle', [True, False])
@pytest.mark.parametrize('world_size', [1, 2, 3, 8])
def test_the_order_is_mmengines_on_every_rank(monkeypatch, shuffle, world_size):
    for size, rank, round_up, epoch in itertools.product(SIZES, range(world_size), [True, False], [0, 5]):
        monkeypatch.setattr('mmengine.dataset.sampler.get_dist_info', lambda rank=rank: (rank, world_size))
        pair = [
            kind(range(size), shuffle=shuffle, seed=3, round_up=round_up) for kind in (SeededSampler, DefaultSampler)
        ]
        for sampler in pair:
            sampler.set_epoch(epoch)
        ours, theirs = map(list, pair)
        assert ours == theirs
        assert len(ours) == len(pair[0])


@pytest.mark.parametrize('shuffle', [True, False])
def test_the_stream_is_mmengines_on_every_rank(monkeypatch, shuffle):
    for size, place in itertools.product(SIZES, [(0, 1), (0, 2), (1, 2), (0, 3), (2, 3)]):
        monkeypatch.setattr('mmengine.dataset.sampler.get_dist_info', lambda place=place: place)
        pair = [kind(range(size), shuffle=shuffle, seed=3) for kind in (SeededInfiniteSampler, InfiniteSampler)]
        assert take(pair[0], 60) == take(pair[1], 60)


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
    with pytest.raises(ValueError, match='^list_iterator is a stream'):
        choose_images(iter([]), 2, 0)
