"""Weights of pixels in the reconstruction loss: against loops, at their limits, and with the image they belong to."""

import pytest
import torch
from references import loss_by_loops
from tiny_mixmae import build, tiny_mixedae, tiny_model

from mixmae_mm.mixing import MixedImages, mix_images, random_assignment
from mixmae_mm.models import MixingDataPreprocessor, MixReconstructionHead, ThresholdWeights, VarianceWeights

CELL, PIXELS = 4, 48
HEADS = [MixReconstructionHead(CELL, norm_pix=norm, masked_only=masked) for norm in (True, False) for masked in (1, 0)]
EACH = pytest.mark.parametrize('head', HEADS, ids=['norm, masked', 'norm, all', 'plain, masked', 'plain, all'])


def draw(weights=None, sources=3):
    """Two mixtures of images of 8 x 8 px, predictions of their cells, and the weights."""
    images, assignment = torch.randn(2, sources, 3, 8, 8), random_assignment(2, (2, 2), sources)
    predictions = torch.randn(2, sources, 4, PIXELS, requires_grad=True)
    weights = weights(2, sources, 1, 8, 8) if weights else None
    return predictions, MixedImages(mix_images(images, assignment), images, assignment, None, weights)


def loss_of(head, predictions, images):
    """The loss, and its gradient."""
    loss = head.loss(predictions, images)['loss_reconstruction']
    return loss, torch.autograd.grad(loss, predictions)[0]


def weighted_by_loops(head, predictions, images):
    """Sum of weighted errors over the sum of weights, pixel by pixel."""
    errors = weights = 0.0
    groups, sources, channels, height, width = images.sources.shape
    for g, k, y, x, c in torch.cartesian_prod(*map(torch.arange, (groups, sources, height, width, channels))).tolist():
        row, column = y // CELL, x // CELL
        if head.masked_only and images.assignment[g, row, column] == k:
            continue
        cell = images.sources[g, k, :, row * CELL : (row + 1) * CELL, column * CELL : (column + 1) * CELL]
        target = images.sources[g, k, c, y, x]
        if head.norm_pix:
            target = (target - cell.mean()) / (cell.var(unbiased=True) + head.eps).sqrt()
        place = ((y % CELL) * CELL + x % CELL) * channels + c
        weight = images.weights[g, k, 0, y, x]
        errors += weight * (predictions[g, k, row * 2 + column, place] - target) ** 2
        weights += weight
    return errors / weights


@EACH
def test_weighted_loss_against_loops(head):
    predictions, images = draw(torch.rand)
    expected = weighted_by_loops(head, predictions, images)
    torch.testing.assert_close(head.loss(predictions, images)['loss_reconstruction'], expected)


@EACH
def test_weights_of_one_are_no_weights_to_the_bit(head):
    predictions, images = draw(torch.ones)
    (loss, gradient), (plain, its) = (loss_of(head, predictions, x) for x in (images, images._replace(weights=None)))
    assert torch.equal(loss, plain)
    assert torch.equal(gradient, its)
    if head.masked_only:
        by_loops = [loss_by_loops(predictions[g : g + 1], _part(images, g), head.norm_pix) for g in range(2)]
        torch.testing.assert_close(plain, sum(by_loops) / 2)


def _part(images, g):
    """One mixture of several."""
    return MixedImages(*(None if x is None else x[g : g + 1] for x in images))


def test_without_any_weight_the_loss_is_0():
    loss, gradient = loss_of(MixReconstructionHead(CELL, norm_pix=False), *draw(torch.zeros))
    assert loss == 0
    assert not gradient.any()


@pytest.mark.parametrize(('sources', 'turns'), [(2, True), (4, True), (4, False)])
def test_weights_go_with_their_image_through_groups_and_turns(sources, turns):
    """The fourth channel is the first one's pixels, so that weights and sources can be compared."""
    images = torch.rand(8, 3, 16, 16) * 255
    settings = dict(mean=[0.0] * 3, std=[1.0] * 3, num_sources=sources, cell_size=8, take_turns=turns)
    preprocessor = MixingDataPreprocessor(weights='last_channel', **settings)
    mixed = preprocessor(dict(inputs=torch.cat([images, images[:, :1]], dim=1)), training=True)['inputs']
    assert mixed.sources.shape[2] == 3
    assert torch.equal(mixed.weights, mixed.sources[:, :, :1])
    assert MixingDataPreprocessor(**settings)(dict(inputs=images), training=True)['inputs'].weights is None


def test_a_channel_of_weights_is_for_training_alone_and_needed_there():
    preprocessor = MixingDataPreprocessor(weights='last_channel', cell_size=8)
    images = torch.rand(2, 3, 16, 16) * 255
    expected = MixingDataPreprocessor()(dict(inputs=images))['inputs']
    assert torch.equal(preprocessor(dict(inputs=torch.cat([images, -images[:, :1]], dim=1)))['inputs'], expected)
    assert not preprocessor(dict(inputs=torch.cat([images, -images[:, :1]], dim=1)), True)['inputs'].weights.any()
    with pytest.raises(ValueError, match='3 channels and one of weights, got 3: .*LoadWeights'):
        preprocessor(dict(inputs=images), training=True)
    assert preprocessor.eval()(dict(inputs=images), training=True)['inputs'].weights is None
    with pytest.raises(ValueError, match="RGB already: load them with mode='RGB'"):
        MixingDataPreprocessor(weights='last_channel', bgr_to_rgb=True)


@pytest.mark.parametrize('method', [tiny_model, tiny_mixedae])
def test_a_function_of_the_image_weighs_the_loss_of_a_model(method):
    images = torch.randint(1, 256, (4, 3, 32, 32), dtype=torch.uint8)
    images[:, :, :, 16:] = 0
    losses = []
    for weights in (None, dict(type='mixmae_mm.ThresholdWeights'), dict(type='mixmae_mm.ThresholdWeights', above=255)):
        model = build(method, norm_pix=False, weights=weights)
        for parameter, value in zip(model.parameters(), build(method).parameters(), strict=True):
            parameter.data.copy_(torch.full_like(value, 0.01))
        torch.manual_seed(0)
        mixed = model.data_preprocessor(dict(inputs=images), training=True)['inputs']
        losses.append(model(mixed, mode='loss')['loss_reconstruction'].item())
    assert losses[1] < 0.7 * losses[0]  # black is far from the mean
    assert losses[2] == 0


def test_weights_that_are_no_weights_are_refused():
    with pytest.raises(ValueError, match=r"weights='last': use 'last_channel', or dict\("):
        MixingDataPreprocessor(weights='last')
    preprocessor, images = MixingDataPreprocessor(cell_size=8), torch.rand(2, 3, 16, 16)
    for weigh, said in [
        (lambda images: images, r'weights of images \(2, 3, 16, 16\) must be \(2, 1, 16, 16\), got \(2, 3, 16, 16\)'),
        (lambda images: images[:, :1] - 2, 'must be finite and 0 or more, got -'),
        (lambda images: images[:, :1] / 0, 'must be finite and 0 or more, got inf'),
        (lambda images: images[:, :1] * torch.nan, 'must be finite and 0 or more, got nan'),
    ]:
        preprocessor.weights = weigh
        with pytest.raises(ValueError, match=said):
            preprocessor(dict(inputs=images), training=True)


def test_nan_in_a_map_of_weights_counts_as_zero():
    preprocessor, images = MixingDataPreprocessor(weights='last_channel', cell_size=8), torch.ones(2, 4, 16, 16)
    images[0, 3, 1, 2] = torch.nan
    weights = preprocessor(dict(inputs=images), training=True)['inputs'].weights
    assert (weights == 0).sum() == 2  # in each of two turns
    assert weights.sum() == 2 * (2 * 16 * 16 - 1)


def test_threshold_by_hand():
    image = torch.tensor([[[[0.0, 5.0, 9.0]], [[0.0, 0.0, 9.0]]]])
    assert ThresholdWeights()(image).tolist() == [[[[0, 1, 1]]]]
    assert ThresholdWeights(above=5, outside=0.25)(image).tolist() == [[[[0.25, 0.25, 1]]]]


def test_variance_of_windows_by_loops_and_whatever_the_units():
    image = torch.randn(1, 2, 6, 5)
    standard = (image - image.mean((2, 3), keepdim=True)) / image.std((2, 3), keepdim=True)
    local = torch.empty(6, 5)
    for y in range(6):
        for x in range(5):
            window = standard[0, :, max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2]
            local[y, x] = window.var(dim=(1, 2), unbiased=False).mean()
    weights = VarianceWeights(window=3, floor=0.5)
    torch.testing.assert_close(weights(image)[0, 0], 0.5 + local / local.mean(), rtol=1e-4, atol=1e-5)
    units = image.double() * torch.tensor([1e3, 1e-3]).view(2, 1, 1) + 1e4
    torch.testing.assert_close(weights(units), weights(image.double()), rtol=1e-3, atol=1e-4)
    assert torch.equal(weights(torch.full((1, 2, 6, 5), 7.0)), torch.full((1, 1, 6, 5), 0.5))


@pytest.mark.parametrize('settings', [dict(window=4), dict(window=1), dict(floor=-1.0)])
def test_a_window_has_a_middle_and_no_weight_is_negative(settings):
    with pytest.raises(ValueError, match='window .*odd and 3 or more, .*floor 0 or more'):
        VarianceWeights(**settings)
