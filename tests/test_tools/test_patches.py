"""Features of patches: principal components, colors, matches, earlier stages, and heat maps."""

import argparse

import numpy as np
import pytest
import torch
from draw_patch_pca import principal_components, row_of, scale_robustly
from draw_patch_similarity import best_match, rows_of
from drawing import heat_map, patch_features
from matplotlib import colormaps
from mmengine.config import Config
from tiny_mixmae import tiny_mixedae, tiny_model, write_files


def features(seed=0, shape=(2, 3, 4, 6)):
    """Patches whose channels differ in standard deviation, so that the order of components is settled."""
    return np.random.default_rng(seed).normal(size=shape) * np.arange(1, shape[-1] + 1) ** 2 + 5


def unit(values):
    return values / np.linalg.norm(values, axis=-1, keepdims=True)


def by_covariance(flat, number):
    """Scores and shares by the eigenvectors of the covariance, with our rule for signs."""
    variances, loadings = np.linalg.eigh(np.cov(flat, rowvar=False, bias=True))
    loadings = loadings[:, ::-1][:, :number]
    loadings = loadings * [1 if column[abs(column).argmax()] > 0 else -1 for column in loadings.T]
    return (flat - flat.mean(0)) @ loadings, variances[::-1][:number] / variances.sum()


@pytest.mark.parametrize('number', [1, 3])
def test_components_are_those_of_all_images_whatever_the_order_of_patches(number):
    given = features()
    found, shares = principal_components(given, number)
    expected = by_covariance(given.reshape(-1, 6), number)
    np.testing.assert_allclose(found.reshape(-1, number), expected[0], atol=1e-8)
    np.testing.assert_allclose(shares, expected[1], atol=1e-12)
    np.testing.assert_allclose(principal_components(given[::-1, ::-1], number)[0][::-1, ::-1], found, atol=1e-8)


def test_too_few_patches_or_channels():
    for shape in ((2, 3, 4, 2), (1, 1, 3, 6)):
        with pytest.raises(ValueError, match='^3 components .*: more patches than components'):
            principal_components(features(shape=shape))


def test_scaling_is_each_components_own_and_a_few_far_out_do_not_matter():
    scores = np.stack([np.arange(101.0), -10 * np.arange(101.0)], -1).reshape(1, 1, 101, 2)
    scaled = scale_robustly(scores, cut=10)
    np.testing.assert_allclose(scaled[0, 0, [0, 10, 30, 50, 90, 100], 0], [0, 0, 0.25, 0.5, 1, 1])
    np.testing.assert_allclose(scaled[0, 0, [0, 10, 30, 50, 90, 100], 1], [1, 1, 0.75, 0.5, 0, 0])
    scores[0, 0, 100] = 1e9
    np.testing.assert_allclose(scale_robustly(scores, cut=10)[0, 0, :90, 0], scaled[0, 0, :90, 0])


def test_colors_are_the_components_and_the_grays_each_of_them():
    scaled = np.random.default_rng(0).random((4, 4, 3))
    row = row_of(np.zeros((16, 16, 3), np.uint8), scaled, np.array([0.5, 0.25, 0.125]))
    assert [panel.title for panel in row[2:]] == ['component 1: 50%', 'component 2: 25%', 'component 3: 12%']
    assert abs(row[1].image[::4, ::4] - 255 * scaled).max() <= 0.5 + 1e-6
    assert all((row[2 + i].image[..., 0] == row[1].image[..., i]).all() for i in range(3))


def grids(seed=0):
    numbers = np.random.default_rng(seed)
    return unit(numbers.normal(size=(5, 6, 8))), unit(numbers.normal(size=(4, 7, 8)))


def test_best_match_by_loops():
    first, second = grids()
    for place in ((0, 0), (4, 5), (2, 3)):
        match = best_match(place, first, second)
        cosines = {at: sum(first[place] * second[at]) for at in np.ndindex(4, 7)}
        assert match.best == max(cosines, key=cosines.get)
        assert match.similarity == pytest.approx(max(cosines.values()))
        back = {at: sum(first[at] * second[match.best]) for at in np.ndindex(5, 6)}
        assert match.mutual == (max(back, key=back.get) == place)


def test_similarity_maps_are_on_one_scale_and_marks_on_the_matches():
    given = unit(features(shape=(2, 4, 4, 6)) - 5)
    matches = [best_match((1, 2), *given), best_match((3, 0), *given)]
    rows = rows_of(np.zeros((2, 8, 8, 3), np.uint8), given, matches)
    assert [len(row) for row in rows] == [2, 2, 2]
    for row, match in zip(rows[1:], matches, strict=True):
        own, other = (panel.image[::2, ::2].astype(int).sum(-1) for panel in row)
        cosines = given @ given[0][match.place]
        assert own[match.place] == max(own.max(), other.max())
        assert np.unravel_index(other.argmax(), (4, 4)) == match.best
        order = np.argsort(cosines.ravel())
        assert (np.diff(np.stack([own, other]).ravel()[order]) >= -3).all()  # brighter is more similar, in both
        assert row[1].below == f'{cosines[1].min():.2f} to {cosines[1].max():.2f}'
        assert row[1].marks[0][:2] == match.best
    assert [mark.color for mark in rows[0][0].marks] == [row[0].marks[0].color for row in rows[1:]]


@pytest.mark.parametrize('method', [tiny_model, tiny_mixedae])
def test_features_of_a_stage_are_those_of_its_output_normalized(tmp_path, method):
    config, checkpoint = write_files(tmp_path, method)
    images = torch.randint(0, 256, (2, 3, 32, 32)).float()
    args = argparse.Namespace(checkpoint=checkpoint, stage=0, image_size=None, device=None)
    extract, compute = patch_features(args, Config.fromfile(config))
    encoder, outputs = extract.encoder, []
    stage = encoder.layers[0] if method is tiny_model else encoder.blocks[0]
    stage.register_forward_hook(lambda module, inputs, output: outputs.append(output))
    found = torch.from_numpy(compute(images)).float()
    expected = torch.nn.functional.layer_norm(outputs[0], outputs[0].shape[-1:])
    if method is tiny_mixedae:
        expected = expected[:, 1:].unflatten(1, (4, 4))
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-3)


def test_heat_map_by_hand():
    gray, values = np.full((4, 4, 3), 100, np.uint8), np.array([[0.0, 1], [2, np.nan]])
    shown = heat_map(gray, values, 0, 2).astype(int)
    for (row, column), share in {(0, 0): 0.0, (0, 2): 0.5, (2, 0): 1.0}.items():
        color = [round(0.7 * 255 * part + 0.3 * 100) for part in colormaps['inferno'](share)[:3]]
        assert abs(shown[row, column] - color).max() <= 1
        assert (shown[row : row + 2, column : column + 2] == shown[row, column]).all()
    assert (shown[2:, 2:] == round(0.6 * 255 + 0.4 * 100)).all()
    assert (heat_map(gray, values * 0 + 1, 1, 1)[0, 0] == heat_map(gray, values * 0, 0, 9)[0, 0]).all()
