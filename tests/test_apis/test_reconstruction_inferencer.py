"""Reconstructions from Python against the model asked by hand."""

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image
from tiny_mixmae import build, tiny_mixedae, tiny_model, write_files

from mixmae_mm.apis import ReconstructionInferencer
from mixmae_mm.apis.model import build_pretrainer
from mixmae_mm.apis.reconstruction_inferencer import choose_image_files, mix_otherwise, reconstruct
from mixmae_mm.mixing import resize_assignment, visible
from mixmae_mm.visualization import describe, draw_rows

CELL = 8


@pytest.fixture
def files(tmp_path):
    return write_files(tmp_path, norm_pix=False)


@pytest.fixture
def inferencer(files):
    return ReconstructionInferencer(*files, device='cpu')


def by_hand(files, pixels, seed):
    return reconstruct(build_pretrainer(Config.fromfile(files[0]), files[1]), pixels.float(), seed)


def test_arrays_are_what_the_model_says(inferencer, files, five_images):
    paths, pixels = five_images
    result, expected = inferencer(paths, seed=3), by_hand(files, pixels[:4], seed=3)
    assert result.names == [paths[:2], paths[2:4]]
    for given, wanted in zip(result[1:4], expected[:3], strict=True):
        assert given.dtype == np.uint8
        assert np.array_equal(given, wanted.movedim(-3, -1).numpy())
    assert result.assignment.shape == (2, 4, 4)
    assert np.array_equal(result.assignment, expected.assignment.expand(2, -1, -1).numpy())
    assert not np.array_equal(result.assignment, inferencer(paths, seed=4).assignment)


@pytest.mark.parametrize(
    ('method', 'settings', 'shape'),
    [
        (tiny_model, {}, (2, 2)),
        (tiny_mixedae, {}, (1, 4)),
        (tiny_mixedae, dict(num_sources=1, mask_ratio=0.75), (5, 1)),
    ],
)
def test_errors_are_those_of_masked_pixels(five_images, tmp_path, method, settings, shape):
    paths, pixels = five_images
    result = ReconstructionInferencer(*write_files(tmp_path, method, **settings), device='cpu')(paths)
    assert result.errors.shape == shape
    for g in range(shape[0]):
        for k in range(shape[1]):
            difference = result.reconstructed[g, k].astype(float) - result.sources[g, k]
            squares = [
                difference[row * CELL : row * CELL + CELL, column * CELL : column * CELL + CELL] ** 2
                for row in range(4)
                for column in range(4)
                if result.assignment[g, row, column] != k
            ]
            assert result.errors[g, k] == pytest.approx(np.sqrt(np.mean(squares)), rel=1e-5)
            assert result.errors[g, k] > 1


def test_a_broken_image_moves_the_others_up(inferencer, five_images, tmp_path):
    paths, pixels = five_images
    (tmp_path / 'images' / '1.png').write_bytes(b'no image')
    for batch_size in (2, 5):
        inferencer.read.batch_size = batch_size
        result = inferencer(tmp_path / 'images')
        assert result.names == [[paths[0], paths[2]], [paths[3], paths[4]]]
        assert np.array_equal(result.sources[1, 0], pixels[3].permute(1, 2, 0).numpy())


def test_batches_are_mixed_anew(files, five_images):
    small = ReconstructionInferencer(*files, device='cpu', batch_size=1)
    first, second = small(five_images[0]).assignment
    assert not np.array_equal(first, second)
    assert np.array_equal(first, small(five_images[0][:2]).assignment[0])


def test_the_image_grid_is_drawn_and_saved(inferencer, files, five_images, tmp_path):
    paths, pixels = five_images
    expected = by_hand(files, pixels[:4], seed=1)
    grid = np.asarray(draw_rows(expected, describe(inferencer.model, expected)))
    out = inferencer.save(paths, tmp_path / 'new' / 'grid.png', seed=1)
    assert np.array_equal(np.asarray(Image.open(out)), grid)
    with pytest.raises(ValueError, match=r'grid\.txt .*extension.*\.png'):
        inferencer.save(paths, tmp_path / 'grid.txt')


def test_what_cannot_be_reconstructed_is_reported(inferencer, files, five_images, tmp_path):
    with pytest.raises(ValueError, match=r'takes 2 image.* 1 can be read'):
        inferencer(five_images[0][:1])
    config = Config.fromfile(files[0])
    config.model.data_preprocessor.pop('num_sources')
    with pytest.raises(ValueError, match='is not a pre-training config'):
        ReconstructionInferencer(config, files[1])


# -- the functions behind it


def test_each_group_is_led_by_its_first_image_and_mixed_as_the_assignment_says(five_images):
    bgr, each = dict(take_turns=False, bgr_to_rgb=True), dict(shared_assignment=False)
    for settings in (dict(), dict(num_sources=4), each, bgr):
        model, pixels = build(**settings), five_images[1][:4]
        result = reconstruct(model, pixels.float(), seed=1)
        num_sources = settings.get('num_sources', 2)
        assert torch.equal(result.sources, pixels.unflatten(0, (-1, num_sources)))
        shown = visible(resize_assignment(result.assignment, (32, 32)), num_sources)[:, :, None]
        assert torch.equal(result.mixed, (result.sources * shown).sum(1).to(torch.uint8))
        assert torch.equal(result.reconstructed * shown, result.sources * shown)
        assert not torch.equal(result.reconstructed, result.sources)


def test_named_files_keep_their_order_and_fill_whole_groups(five_images):
    paths = five_images[0]
    assert choose_image_files(paths[::-1], 6, 2, seed=0) == paths[:0:-1]
    with pytest.raises(ValueError, match=r'^2 image.* mixtures of 3: give 3 or more'):
        choose_image_files(paths[:2], 6, 3, seed=0)


def test_folder_gives_a_seeded_choice_without_repeats(five_images, tmp_path):
    choices = [choose_image_files([str(tmp_path)], 4, 2, seed) for seed in (0, 0, 1, 2, 3)]
    assert choices[0] == choices[1]
    assert len({tuple(choice) for choice in choices}) > 2
    assert all(len(set(choice)) == 4 and set(choice) <= set(five_images[0]) for choice in choices)


@pytest.mark.parametrize(
    ('settings', 'changes', 'shown'),
    [
        (dict(mask_ratio=0.25), dict(num_sources=4), [4, 4, 4, 4]),  # equal shares by default
        (dict(shares=(0.25, 0.25)), dict(mask_ratio=0.5), [8, 8]),
        (dict(), dict(num_sources=1, mask_ratio=0.75), [4]),
        (dict(), dict(), [8, 8]),
    ],
)
def test_mixing_otherwise(five_images, settings, changes, shown):
    model = build(**settings)
    mix_otherwise(model, **changes)
    result = reconstruct(model, five_images[1][:4].float(), seed=0)
    assert visible(result.assignment, len(shown))[0].sum((1, 2)).tolist() == shown
    assert result.sources.shape[1] == len(shown)


@pytest.mark.parametrize(
    ('method', 'changes', 'message'),
    [
        (tiny_mixedae, dict(num_sources=2), '^mixtures of 2 images, but this encoder is for 4'),
        (tiny_model, dict(mask_ratio=0), '^masking ratio must be above 0 and below 1, got 0$'),
        (tiny_model, dict(num_sources=1), '^one image per mixture leaves nothing to reconstruct: also set a'),
    ],
)
def test_mixing_that_a_model_does_not_take(method, changes, message):
    with pytest.raises(ValueError, match=message):
        mix_otherwise(build(method), **changes)
