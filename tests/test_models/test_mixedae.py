"""MixedAE: the invariants of the specification (section 7), end to end with a small model."""

import pytest
import torch
from references import loss_by_loops
from tiny_mixmae import mixedae
from torch.nn import functional as F

from mixmae_mm.mixing import NOBODY, MixedImages, mix_images, random_assignment
from mixmae_mm.registry import MODELS

SIZE, PATCH, DIMS = 32, 4, 16


def build(sources=4, projection_dims=None, **mixing):
    torch.manual_seed(0)
    backbone = dict(arch=dict(embed_dims=DIMS, depth=3, num_heads=2), img_size=SIZE, patch_size=PATCH)
    model = mixedae(backbone, DIMS, sources, grid_size=SIZE // PATCH, cell_size=PATCH, **mixing)
    return MODELS.build(model | dict(projection_dims=projection_dims)).eval()


def mixture(sources=4, groups=2):
    images = torch.randn(groups, sources, 3, SIZE, SIZE)
    assignment = random_assignment(groups, (SIZE // PATCH, SIZE // PATCH), sources)
    return MixedImages(mix_images(images, assignment), images, assignment)


def masked_pixels(images):
    """Return which pixels of each source are masked: bool (G, K, 1, H, W)."""
    names = torch.arange(images.sources.shape[1]).view(1, -1, 1, 1)
    masked = images.assignment[:, None] != names
    return masked.repeat_interleave(PATCH, 2).repeat_interleave(PATCH, 3)[:, :, None]


def test_what_is_logged_and_what_is_summed():
    model = build()
    losses = model.loss(mixture())
    names = ['loss_reconstruction', 'loss_contrastive', 'topk_precision/block_1', 'topk_precision/block_2']
    assert list(losses) == names
    total, logged = model.parse_losses(losses)
    torch.testing.assert_close(total, losses['loss_reconstruction'] + losses['loss_contrastive'])
    assert set(logged) == {'loss', *names}
    assert 0.15 < logged['topk_precision/block_1'] < 0.45


@pytest.mark.parametrize(('sources', 'batch'), [(2, 4), (3, 6), (4, 8), (8, 8)])
def test_ratios_and_shares_that_do_not_divide(sources, batch):
    model = build(sources)
    images = model.data_preprocessor.mix(torch.randn(batch, 3, SIZE, SIZE))
    assert images.mixed.shape == (batch // sources, 3, SIZE, SIZE)
    counts = torch.stack([(images.assignment == k).flatten(1).sum(1) for k in range(sources)], 1)
    assert (counts.sum(1) == 64).all()
    assert counts.max() - counts.min() <= 1
    losses = model.loss(images)
    torch.testing.assert_close(losses['loss_reconstruction'], loss_by_loops(model.decode(images), images))


def test_order_in_the_group_does_not_matter():
    model, images = build(), mixture()
    before = model.loss(images)
    order = torch.tensor([2, 0, 3, 1])
    renamed = order.argsort()[images.assignment]
    with torch.no_grad():
        model.backbone.segment_embed.copy_(model.backbone.segment_embed[order])
    after = model.loss(images._replace(sources=images.sources[:, order], assignment=renamed))
    for name, value in before.items():
        torch.testing.assert_close(after[name], value, atol=1e-5, rtol=1e-5)


def test_no_gradient_to_masked_pixels_of_the_input():
    model, images = build(), mixture()
    sources = images.sources.clone().requires_grad_()
    losses = model.loss(images._replace(mixed=mix_images(sources, images.assignment)))
    (losses['loss_reconstruction'] + losses['loss_contrastive']).backward()
    masked = masked_pixels(images).expand_as(sources)
    assert not sources.grad[masked].any()
    assert sources.grad[~masked].all()


def test_the_contrastive_loss_is_of_the_last_norm():
    images = mixture()
    for projection_dims in (None, 5):
        model = build(projection_dims=projection_dims)
        features = model.projection(model.encode(images).maps[-1].flatten(2).transpose(1, 2))
        assert features.shape == (2, 64, projection_dims or DIMS)
        expected = model.contrast(features, images.assignment.flatten(1))
        assert torch.equal(model.loss(images)['loss_contrastive'], expected)


def test_uneven_shares_with_cells_of_nobody():
    model = build(2, shares=(0.5, 0.25))
    images = model.data_preprocessor.mix(torch.randn(4, 3, SIZE, SIZE))
    for name, count in ((0, 32), (1, 16), (NOBODY, 16)):
        assert ((images.assignment == name).flatten(1).sum(1) == count).all()
    encoded = model.encode(images)
    nobody = (images.assignment == NOBODY)[:, None].expand_as(encoded.maps[0])
    assert not encoded.maps[0][nobody].any()
    assert encoded.maps[0][~nobody].all()
    total, count = 0.0, 0
    for group in range(2):
        cells = [cell for cell in range(64) if images.assignment[group].flatten()[cell] != NOBODY]
        features = {cell: F.normalize(encoded.maps[0][group].flatten(1)[:, cell], dim=0) for cell in cells}
        for cell in cells:
            others = [other for other in cells if other != cell]
            logits = torch.stack([features[cell] @ features[other] for other in others]) / 0.25
            labels = images.assignment[group].flatten()
            positives = torch.tensor([bool(labels[other] == labels[cell]) for other in others])
            total, count = total - logits.log_softmax(0)[positives].mean(), count + 1
    assert count == 2 * 48
    torch.testing.assert_close(model.loss(images)['loss_contrastive'], 0.1 * total / count)
