"""MixedAE: the invariants of the specification (section 7), end to end with a small model."""

import math

import pytest
import torch
from torch.nn import functional as F

from mixmae_mm.mixing import NOBODY, MixedImages, mix_images, random_assignment
from mixmae_mm.registry import MODELS

SIZE, PATCH, DIMS = 32, 4, 16


def build(sources=4, contrast=True, preprocessor=None, neck=None, head=None, projection_dims=None, **backbone):
    torch.manual_seed(0)
    arch, sizes = dict(embed_dims=DIMS, depth=3, num_heads=2), dict(cell_size=PATCH)
    mixing = dict(num_sources=sources, take_turns=False, shared_assignment=False) | sizes | (preprocessor or {})
    backbone = dict(arch=arch, img_size=SIZE, patch_size=PATCH, num_sources=sources) | backbone
    decoder = dict(grid_size=SIZE // PATCH, embed_dims=12, depth=1, num_heads=2, cls_token=True) | sizes | (neck or {})
    model = dict(
        type='mixmae_mm.MixedAE',
        data_preprocessor=dict(type='mixmae_mm.MixingDataPreprocessor', **mixing),
        backbone=dict(type='mixmae_mm.MixingViT', **backbone),
        neck=dict(type='mixmae_mm.MixDecoder', in_channels=DIMS, **decoder),
        head=dict(type='mixmae_mm.MixReconstructionHead', **sizes, **(head or {})),
        contrast=dict(type='mixmae_mm.HomologousContrastiveLoss') if contrast else None,
        projection_dims=projection_dims,
    )
    return MODELS.build(model).eval()


def random_images(batch=8):
    return torch.randn(batch, 3, SIZE, SIZE)


def mixture(sources=4, groups=2):
    images = torch.randn(groups, sources, 3, SIZE, SIZE)
    assignment = random_assignment(groups, (SIZE // PATCH, SIZE // PATCH), sources)
    return MixedImages(mix_images(images, assignment), images, assignment)


def masked_pixels(images):
    """Tell which pixels of each source a mixture hides: bool (G, K, 1, H, W)."""
    names = torch.arange(images.sources.shape[1]).view(1, -1, 1, 1)
    hidden = images.assignment[:, None] != names
    return hidden.repeat_interleave(PATCH, 2).repeat_interleave(PATCH, 3)[:, :, None]


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
    images = model.data_preprocessor.mix(random_images(batch))
    assert images.mixed.shape == (batch // sources, 3, SIZE, SIZE)
    counts = torch.stack([(images.assignment == k).flatten(1).sum(1) for k in range(sources)], 1)
    assert (counts.sum(1) == 64).all()
    assert counts.max() - counts.min() <= 1
    losses = model.loss(images)
    torch.testing.assert_close(losses['loss_reconstruction'], loss_by_loops(model.decode(images), images))


def loss_by_loops(predictions, images):
    """Mean squared error of each masked patch against its own normalized pixels, averaged: the definition."""
    errors = []
    for g in range(images.sources.shape[0]):
        for k in range(images.sources.shape[1]):
            for cell in range(64):
                if images.assignment[g].flatten()[cell] == k:
                    continue
                y, x = cell // 8 * PATCH, cell % 8 * PATCH
                target = images.sources[g, k, :, y : y + PATCH, x : x + PATCH].permute(1, 2, 0).flatten()
                target = (target - target.mean()) / (target.var() + 1e-6).sqrt()
                errors.append((predictions[g, k, cell] - target).square().mean())
    return torch.stack(errors).mean()


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


def test_no_gradient_to_hidden_pixels_of_the_input():
    model, images = build(), mixture()
    sources = images.sources.clone().requires_grad_()
    losses = model.loss(images._replace(mixed=mix_images(sources, images.assignment)))
    (losses['loss_reconstruction'] + losses['loss_contrastive']).backward()
    hidden = masked_pixels(images).expand_as(sources)
    assert not sources.grad[hidden].any()
    assert sources.grad[~hidden].all()


def test_the_contrastive_loss_is_of_the_last_norm():
    model, images = build(), mixture()
    features = model.encode(images).maps[-1].flatten(2).transpose(1, 2)
    expected = model.contrast(features, images.assignment.flatten(1))
    assert torch.equal(model.loss(images)['loss_contrastive'], expected)
    projecting = build(projection_dims=5)
    features = projecting.projection(projecting.encode(images).maps[-1].flatten(2).transpose(1, 2))
    assert features.shape == (2, 64, 5)
    expected = projecting.contrast(features, images.assignment.flatten(1))
    assert torch.equal(projecting.loss(images)['loss_contrastive'], expected)


def test_uneven_shares_with_cells_of_nobody():
    model = build(2, preprocessor=dict(shares=(0.5, 0.25)))
    images = model.data_preprocessor.mix(random_images(4))
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


def test_steps_lower_the_loss_and_raise_the_precision():
    """On images of one color each, sources are easily told apart."""
    model = build().train()
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    torch.manual_seed(1)
    found = []
    for _ in range(60):
        colors = torch.randn(16, 3, 1, 1).expand(-1, -1, SIZE, SIZE)
        losses = model.loss(model.data_preprocessor.mix(colors + 0.1 * torch.randn(16, 3, SIZE, SIZE)))
        optimizer.zero_grad()
        (losses['loss_reconstruction'] + 10 * losses['loss_contrastive']).backward()
        optimizer.step()
        found.append([losses['loss_contrastive'].item(), losses['topk_precision/block_2'].item()])
    assert 0.1 * math.log(15) < found[-1][0] < found[0][0] - 0.02
    assert found[-1][1] > 0.32 > found[0][1]


def test_predictions_of_shown_cells_do_not_count_unless_asked():
    images = mixture()
    predictions = torch.randn(2, 4, 64, 3 * PATCH**2)
    changed = predictions.clone()
    shown = images.assignment.flatten(1)[:, None] == torch.arange(4).view(1, -1, 1)
    changed[shown] += 5
    head, all_cells = build().head, build(head=dict(masked_only=False)).head
    one, other = (head.loss(p, images)['loss_reconstruction'] for p in (predictions, changed))
    assert torch.equal(one, other)
    one, other = (all_cells.loss(p, images)['loss_reconstruction'] for p in (predictions, changed))
    assert other > one + 1
