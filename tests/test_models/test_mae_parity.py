"""MAE against numbers of the official code and of a plain reference of our own."""

import pytest
import torch
from mae_reference import reference
from references import build_mae, load_reference, mask_officially, our_name
from tiny_mixmae import tiny_mixedae

from mixmae_mm.mixing import gather_tokens
from mixmae_mm.registry import MODELS

FILES = ['micro', pytest.param('tiny', marks=pytest.mark.shared)]


@pytest.fixture(params=FILES)
def case(request):
    """An official-style file, our model with its weights, and its images under its mask."""
    stored = load_reference(f'mae_pretrain_{request.param}.pt')
    model = build_mae(stored['config']).eval()
    model.load_state_dict({our_name(name): value for name, value in stored['state_dict'].items()}, strict=True)
    return stored, model, mask_officially(stored)


def close(ours, expected):
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=0)


def kept_patches(stored):
    """Number the kept patches in the official, shuffled order."""
    return stored['ids_restore'].argsort(1)[:, : stored['latent'].shape[1] - 1]


def test_the_reference_is_mae(case):
    stored, _, _ = case
    result = reference(stored['state_dict'], stored['config'], stored['images'], kept_patches(stored))
    for name in ('latent', 'pred', 'loss'):
        close(result[name], stored[name])


def test_forward(case):
    stored, model, images = case
    encoded = model.encode(images)
    close(encoded.cls, stored['latent'][:, 0])
    close(gather_tokens(encoded.maps[0].flatten(2).transpose(1, 2), kept_patches(stored)), stored['latent'][:, 1:])
    close(model.decode(images)[:, 0], stored['pred'])


def test_loss_and_gradients(case):
    stored, model, images = case
    losses = model.loss(images)
    assert list(losses) == ['loss_reconstruction']
    close(losses['loss_reconstruction'], stored['loss'])
    losses['loss_reconstruction'].backward()
    norms = {name: p.grad.norm() for name, p in model.named_parameters() if p.requires_grad}
    expected = {our_name(name): torch.tensor(value) for name, value in stored['grad_norms'].items()}
    torch.testing.assert_close(norms, expected, rtol=1e-4, atol=1e-8)


def test_masked_patches_do_not_reach_the_encoder(case):
    stored, model, images = case
    masked = (images.mixed == 0) & (stored['images'] != 0)
    changed = torch.where(masked, 9.0, images.mixed)
    assert (changed != images.mixed).any()
    assert torch.equal(model.decode(images._replace(mixed=changed)), model.decode(images))
    pixels = images.mixed.clone().requires_grad_()
    model.loss(images._replace(mixed=pixels))['loss_reconstruction'].backward()
    assert not pixels.grad[masked].any()
    assert pixels.grad[~masked].any()


def test_the_official_initialization():
    """Weights by their range and standard deviation; CLS has no position."""
    stored = load_reference('mae_pretrain_micro.pt')
    model = build_mae(stored['config'] | dict(embed_dim=64, img_size=64))
    weight = model.backbone.patch_embed.proj.weight
    limit = (6 / (64 + 3 * 8 * 8)) ** 0.5
    assert weight.abs().max().item() == pytest.approx(limit, rel=0.02)
    assert model.backbone.cls_token.std().item() == pytest.approx(0.02, rel=0.3)
    assert not model.backbone.pos_embed[:, 0].any()
    assert not model.neck.decoder_pos_embed[:, 0].any()


@pytest.mark.parametrize(
    ('part', 'settings'),
    [
        ('data_preprocessor', dict(num_sources=2)),
        ('data_preprocessor', dict(mask_ratio=None, shares=(0.5,))),
        ('contrast', dict(type='mixmae_mm.HomologousContrastiveLoss')),
    ],
)
def test_what_makes_it_another_method_is_refused(part, settings):
    config = tiny_mixedae(num_sources=1, mask_ratio=0.75) | dict(type='mixmae_mm.MAE')
    MODELS.build(config)
    config[part] = (config[part] or {}) | settings
    config['backbone']['num_sources'] = config['data_preprocessor']['num_sources']
    with pytest.raises(ValueError, match=r'num_sources=1, .*contrast=None, or use mixmae_mm\.MixedAE'):
        MODELS.build(config)
