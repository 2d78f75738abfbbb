import numpy as np
import pytest

from mixmae_mm.apis.patch_pca import principal_components, scale_robustly


def features(seed=0, shape=(2, 3, 4, 6)):
    """Patches whose channels differ in standard deviation, so that the order of components is settled."""
    return np.random.default_rng(seed).normal(size=shape) * np.arange(1, shape[-1] + 1) ** 2 + 5


def by_svd(flat, number):
    """Scores and shares by numpy's singular value decomposition, with our rule for signs."""
    moved = flat - flat.mean(0)
    _, values, rows = np.linalg.svd(moved, full_matrices=False)
    for row in rows:
        row *= 1 if row[abs(row).argmax()] > 0 else -1
    return moved @ rows[:number].T, (values**2 / (values**2).sum())[:number]


@pytest.mark.parametrize('number', [1, 3])
def test_components_are_those_of_all_images_by_svd(number):
    given = features()
    found = principal_components(given, number)
    scores, shares = by_svd(given.reshape(-1, 6), number)
    assert found.scores.shape == (2, 3, 4, number)
    np.testing.assert_allclose(found.scores.reshape(-1, number), scores, atol=1e-9)
    np.testing.assert_allclose(found.shares, shares, atol=1e-12)


def test_only_the_patches_among_count_and_all_get_scores():
    given, among = features(), np.zeros((2, 3, 4), bool)
    among[:, :, :2] = True
    found = principal_components(given, 2, among)
    scores, shares = by_svd(given[among], 2)
    np.testing.assert_allclose(found.scores[among], scores, atol=1e-9)
    np.testing.assert_allclose(found.shares, shares, atol=1e-12)
    changed = given.copy()
    changed[~among] *= -3
    np.testing.assert_allclose(principal_components(changed, 2, among).scores[among], scores, atol=1e-9)


def test_signs_do_not_depend_on_the_order_of_patches_or_on_rounding():
    given = features()
    turned = principal_components(given[::-1, ::-1]).scores[::-1, ::-1]
    np.testing.assert_allclose(turned, principal_components(given).scores, atol=1e-9)
    single = principal_components(given.astype(np.float32)).scores
    np.testing.assert_allclose(single, principal_components(given).scores, atol=1e-4)


def test_too_few_patches_or_channels():
    with pytest.raises(ValueError, match='^3 components of 24 patches with 2 channels: more patches are needed'):
        principal_components(features(shape=(2, 3, 4, 2)))
    among = np.zeros((2, 3, 4), bool)
    among[0, 0, :3] = True
    with pytest.raises(ValueError, match='^3 components of 3 patches with 6 channels'):
        principal_components(features(), 3, among)


def test_equal_patches_give_zeros():
    found = principal_components(np.ones((1, 2, 3, 4)))
    assert (found.scores == 0).all()
    assert (found.shares == 0).all()
    assert (scale_robustly(found.scores) == 0).all()


def test_scaling_is_each_components_own_and_a_few_far_out_do_not_matter():
    scores = np.stack([np.arange(101.0), -10 * np.arange(101.0)], -1).reshape(1, 1, 101, 2)
    scaled = scale_robustly(scores, cut=10)
    np.testing.assert_allclose(scaled[0, 0, [0, 10, 30, 50, 90, 100], 0], [0, 0, 0.25, 0.5, 1, 1])
    np.testing.assert_allclose(scaled[0, 0, [0, 10, 30, 50, 90, 100], 1], [1, 1, 0.75, 0.5, 0, 0])
    scores[0, 0, 100] = 1e9
    np.testing.assert_allclose(scale_robustly(scores, cut=10)[0, 0, :90, 0], scaled[0, 0, :90, 0])
    among = np.zeros((1, 1, 101), bool)
    among[..., :11] = True
    np.testing.assert_allclose(scale_robustly(scores, among, 0)[0, 0, [0, 5, 10, 50], 0], [0, 0.5, 1, 1])
