"""Reconstructions from Python against the model asked by hand."""

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image
from tiny_mixmae import tiny_mixedae, tiny_model, write_files

from mixmae_mm.apis import ReconstructionInferencer
from mixmae_mm.apis.model import build_pretrainer
from mixmae_mm.apis.reconstruction_inferencer import reconstruct
from mixmae_mm.datasets import LoadImage
from mixmae_mm.datasets.image_reader import ImageReader, Reading
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


def test_all_ways_to_give_images_are_one(inferencer, five_images, tmp_path):
    paths, pixels = five_images
    arrays = pixels.permute(0, 2, 3, 1).numpy()
    expected = inferencer(paths)
    for given in (tmp_path / 'images', arrays, [Image.open(path) for path in paths], [paths[:3], arrays[3:]]):
        assert np.array_equal(inferencer(given).reconstructed, expected.reconstructed)
    assert inferencer(arrays).names == [['0', '1'], ['2', '3']]


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
    sheet = draw_rows(expected, describe(inferencer.model, expected))
    assert np.array_equal(np.asarray(inferencer.visualize(paths, seed=1)), np.asarray(sheet))
    out = inferencer.save(paths, tmp_path / 'new' / 'sheet.png', seed=1)
    assert np.array_equal(np.asarray(Image.open(out)), np.asarray(sheet))
    with pytest.raises(ValueError, match=r'sheet.txt: give a name that ends in .png'):
        inferencer.save(paths, tmp_path / 'sheet.txt')


def test_what_cannot_be_reconstructed_is_reported(inferencer, files, five_images, tmp_path):
    with pytest.raises(ValueError, match=r'a mixture takes 2 image\(s\), and fewer that can be read were given'):
        inferencer(five_images[0][:1])
    config = Config.fromfile(files[0])
    config.model.data_preprocessor.pop('num_sources')
    with pytest.raises(ValueError, match='is not a pre-training config'):
        ReconstructionInferencer(config, files[1])


def test_gray_images_have_one_channel(five_images):
    paths, pixels = five_images
    reader = ImageReader((32, 16), Reading(LoadImage('L')))
    names, gray = next(reader([paths[0], pixels[1].permute(1, 2, 0).numpy()]))
    assert (names, gray.shape, gray.dtype) == ([paths[0], '1'], (2, 32, 16, 1), np.uint8)
    luma = (pixels[1].float() * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(0)
    assert np.abs(gray[1, ..., 0] - luma[:, 8:24].numpy()).max() < 1.01
