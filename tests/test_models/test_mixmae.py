"""MixMAE as a whole, its decoder and its loss, against the method written out in loops."""

import pytest
import torch
from references import build_pretrainer, load_reference
from torch import nn

from mixmae_mm.mixing import MixedImages, mix_images, patchify, random_assignment
from mixmae_mm.models import MixDecoder, MixMAE, MixReconstructionHead
from mixmae_mm.registry import MODELS

MICRO = load_reference('mixmim_pretrain_micro.pt')['config']


def draw(groups=2, sources=2, size=64, maps=1):
    images = torch.randn(groups, sources, 3, size, size)
    assignment = random_assignment(maps, (size // 32, size // 32), sources)
    return MixedImages(mix_images(images, assignment), images, assignment)


def loss_by_loops(predictions, images, norm_pix=True):
    """Each hidden cell's mean squared error, averaged: the definition, cell by cell."""
    errors = []
    grid = images.assignment.shape[-1]
    for g, source, cell in torch.cartesian_prod(*(torch.arange(n) for n in predictions.shape[:3])).tolist():
        row, column = divmod(cell, grid)
        if images.assignment[g if len(images.assignment) > 1 else 0, row, column] == source:
            continue
        window = images.sources[g, source, :, row * 32 : row * 32 + 32, column * 32 : column * 32 + 32]
        target = window.permute(1, 2, 0).flatten()
        if norm_pix:
            target = (target - target.mean()) / (target.var(unbiased=True) + 1e-6).sqrt()
        errors.append((predictions[g, source, cell] - target).square().mean())
    return torch.stack(errors).mean()


@pytest.mark.parametrize('norm_pix', [True, False])
@pytest.mark.parametrize(('sources', 'maps'), [(2, 1), (2, 2), (4, 1), (3, 2)])
def test_loss_against_loops(sources, maps, norm_pix):
    images = draw(sources=sources, maps=maps)
    predictions = torch.randn(2, sources, 4, 3072)
    loss = MixReconstructionHead(norm_pix=norm_pix).loss(predictions, images)['loss_reconstruction']
    torch.testing.assert_close(loss, loss_by_loops(predictions, images, norm_pix))


@pytest.mark.parametrize('deviation', [0.0, 1e-4, 1e-3, 1e-2])
def test_nearly_flat_cells_are_divided_by_the_root_of_variance_and_eps(deviation):
    """Where the variance is about eps, sqrt(var + eps) is not sqrt(var) + eps, nor sqrt(var)."""
    images = draw()
    sources = 0.5 + deviation * images.sources
    images = images._replace(sources=sources, mixed=mix_images(sources, images.assignment))
    predictions = torch.randn(2, 2, 4, 3072)
    loss = MixReconstructionHead().loss(predictions, images)['loss_reconstruction']
    torch.testing.assert_close(loss, loss_by_loops(predictions, images), rtol=1e-4, atol=1e-5)


def test_reconstructions_show_what_was_shown_and_predict_the_rest():
    images = draw()
    head = MixReconstructionHead(norm_pix=True)
    cells = patchify(images.sources, 32)
    truth = (cells - cells.mean(-1, keepdim=True)) / (cells.var(-1, keepdim=True) + 1e-6).sqrt()
    torch.testing.assert_close(head.reconstruct(truth, images), images.sources, atol=1e-5, rtol=0)
    blank = head.reconstruct(torch.zeros_like(truth), images)
    shown = images.assignment[0].repeat_interleave(32, 0).repeat_interleave(32, 1)
    assert torch.equal(blank[0, 0][:, shown == 0], images.sources[0, 0][:, shown == 0])
    first_masked = (images.assignment[0].flatten() == 1).nonzero()[0].item()
    row, column = divmod(first_masked, 2)
    cell = blank[0, 0, :, row * 32 : row * 32 + 32, column * 32 : column * 32 + 32]
    torch.testing.assert_close(cell, cells[0, 0, first_masked].mean().expand_as(cell), atol=1e-5, rtol=0)


@pytest.mark.parametrize('sources', [2, 3, 4])
def test_decoder_sees_each_source_by_itself(sources):
    """Decoding the K sequences of a mixture together equals decoding each with mask tokens put in by hand."""
    decoder = MixDecoder(8, grid_size=3, cell_size=4, embed_dims=16, depth=2, num_heads=2).eval()
    features, assignment = torch.randn(2, 8, 3, 3), random_assignment(1, (3, 3), sources)
    predictions = decoder((features,), assignment, sources)
    for source in range(sources):
        tokens = decoder.decoder_embed(features.flatten(2).transpose(1, 2))
        for cell in range(9):
            if assignment.flatten()[cell] != source:
                tokens[:, cell] = decoder.mask_token[0, 0]
        x = tokens + decoder.decoder_pos_embed
        for block in decoder.decoder_blocks:
            x = block(x)
        expected = decoder.decoder_pred(decoder.decoder_norm(x))
        torch.testing.assert_close(predictions[:, source], expected, atol=1e-5, rtol=1e-5)


def test_decoder_refuses_maps_off_the_grid():
    decoder = MixDecoder(8, grid_size=4, cell_size=4, embed_dims=16, depth=1, num_heads=2)
    with pytest.raises(ValueError, match="the encoder's last map is 4 x 4, but there are 2 x 2 cells"):
        decoder((torch.randn(1, 8, 4, 4),), random_assignment(1, (2, 2), 2), 2)


def test_decoder_refuses_what_is_no_map():
    decoder = MixDecoder(8, grid_size=2, cell_size=4, embed_dims=16, depth=1, num_heads=2)
    with pytest.raises(ValueError, match=r'the encoder gives \(4, 8\), not maps .* switch its pooling off'):
        decoder((torch.randn(4, 8),), random_assignment(1, (2, 2), 2), 2)


@pytest.mark.parametrize(
    'backbone',
    [
        dict(type='mmpretrain.SwinTransformer', arch='tiny', img_size=64, window_size=2),
        dict(type='mmpretrain.ConvNeXt', arch='atto', gap_before_final_norm=False),
        dict(type='mmpretrain.PCPVT', arch='small', out_indices=(3,), norm_after_stage=True),
    ],
    ids=lambda backbone: backbone['type'],
)
def test_stock_encoders_can_stand_in(backbone):
    pytest.importorskip('mmpretrain', reason='named in configs, not needed by the package')
    encoder, images = MODELS.build(backbone), draw()
    settings = build_settings()
    settings['neck']['in_channels'] = encoder(images.mixed)[-1].shape[1]
    model = MixMAE(**settings, backbone=backbone, masked_attention=False).eval()
    loss = model.loss(images)['loss_reconstruction']
    loss.backward()
    torch.testing.assert_close(loss, loss_by_loops(model.decode(images), images))
    first = next(model.backbone.parameters())
    assert first.grad.abs().sum() > 0


def test_modes():
    model = build_pretrainer(MICRO).eval()
    pixels = torch.randint(0, 256, (4, 3, 64, 64), dtype=torch.uint8)
    images = model.data_preprocessor.normalize(pixels)
    maps = model(images, mode='tensor')
    assert torch.equal(maps[0], model.backbone(images)[0])
    torch.manual_seed(1)
    shown = model(images, mode='predict')
    assert torch.equal(shown.sources[:, 0], pixels)
    where = shown.assignment[0].repeat_interleave(32, 0).repeat_interleave(32, 1) == 0
    assert torch.equal(shown.reconstructed[:, 0][..., where], pixels[..., where])
    assert not torch.equal(shown.reconstructed[:, 0][..., ~where], pixels[..., ~where])
    with pytest.raises(ValueError, match="mode 'train' is unknown"):
        model(images, mode='train')


def test_a_small_batch_is_learnt():
    torch.manual_seed(0)
    model = build_pretrainer(MICRO | dict(decoder_dim=32, embed_dim=16, num_heads=[1, 1, 2, 2])).train()
    images = draw(groups=4)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(60):
        loss = model(images, mode='loss')['loss_reconstruction']
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert 1.0 < losses[0] < 1.6
    assert losses[-1] < 0.7 * losses[0]


@MODELS.register_module()
class StandIn(nn.Module):
    """An encoder that knows nothing of assignments."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 64, 32, 32)

    def forward(self, x):
        return (self.conv(x),)


def with_stand_in(masked_attention):
    settings = build_settings()
    return MixMAE(**settings | dict(backbone=dict(type='mixmae_mm.StandIn'), masked_attention=masked_attention))


def build_settings():
    return dict(
        data_preprocessor=dict(type='mixmae_mm.MixingDataPreprocessor'),
        neck=dict(type='mixmae_mm.MixDecoder', in_channels=64, grid_size=2, embed_dims=8, depth=1, num_heads=2),
        head=dict(type='mixmae_mm.MixReconstructionHead'),
    )


def test_masked_attention_needs_an_encoder_that_takes_the_map():
    with pytest.raises(ValueError, match='StandIn takes no assignment, so its attention cannot be masked'):
        with_stand_in(masked_attention=True)
