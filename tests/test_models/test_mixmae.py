"""MixMAE as a whole, its decoder and its loss, against the method written out in loops."""

import pytest
import torch
from references import build_pretrainer, load_reference, loss_by_loops
from stock_encoders import STOCK, pretrainer
from tiny_mixmae import parts

from mixmae_mm.mixing import MixedImages, mix_images, patchify, random_assignment, resize_assignment
from mixmae_mm.models import MixDecoder, MixMAE, MixReconstructionHead
from mixmae_mm.registry import MODELS

TINY = dict(embed_dims=4, depths=(1, 1, 1, 1), num_heads=(1, 1, 1, 1))
MICRO = load_reference('mixmim_pretrain_micro.pt')['config']


def draw(groups=2, sources=2, size=64, maps=1, cell=32):
    images = torch.randn(groups, sources, 3, size, size)
    assignment = random_assignment(maps, (size // cell, size // cell), sources)
    return MixedImages(mix_images(images, assignment), images, assignment)


def visible_pixels(images):
    """The pixels that source 0 fills."""
    return resize_assignment(images.assignment, tuple(images.mixed.shape[-2:]))[:, None] == 0


@pytest.mark.parametrize('norm_pix', [True, False])
@pytest.mark.parametrize('deviation', [1.0, 1e-3, 0.0])
@pytest.mark.parametrize(('sources', 'maps'), [(2, 1), (2, 2), (4, 1), (3, 2)])
def test_loss_against_loops(sources, maps, deviation, norm_pix):
    """With a variance of about eps, sqrt(var + eps) is neither sqrt(var) + eps nor sqrt(var)."""
    images = draw(sources=sources, maps=maps)
    images = images._replace(sources=0.5 + deviation * images.sources)
    predictions = torch.randn(2, sources, 4, 3072)
    loss = MixReconstructionHead(norm_pix=norm_pix).loss(predictions, images)['loss_reconstruction']
    torch.testing.assert_close(loss, loss_by_loops(predictions, images, norm_pix), rtol=1e-4, atol=1e-5)


def test_reconstructions_keep_visible_cells_and_predict_the_rest():
    images = draw()
    head = MixReconstructionHead(norm_pix=True)
    cells = patchify(images.sources, 32)
    truth = (cells - cells.mean(-1, keepdim=True)) / (cells.var(-1, keepdim=True) + 1e-6).sqrt()
    torch.testing.assert_close(head.reconstruct(truth, images), images.sources, atol=1e-5, rtol=0)
    blank = head.reconstruct(torch.zeros_like(truth), images)
    keep = images.assignment[0].repeat_interleave(32, 0).repeat_interleave(32, 1) == 0
    assert torch.equal(blank[0, 0][:, keep], images.sources[0, 0][:, keep])
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


@pytest.mark.parametrize(
    ('shape', 'message'),
    [
        ((1, 8, 4, 4), "the encoder's last map is 4 x 4, but there are 2 x 2 cells"),
        ((4, 8), r'the encoder gives \(4, 8\), not maps .* switch its pooling off'),
    ],
)
def test_decoder_refuses_maps_off_the_grid(shape, message):
    decoder = MixDecoder(8, grid_size=4, cell_size=4, embed_dims=16, depth=1, num_heads=2)
    with pytest.raises(ValueError, match=message):
        decoder((torch.randn(shape),), random_assignment(1, (2, 2), 2), 2)


@pytest.mark.parametrize(
    ('masked', 'backbone'),
    [
        (True, dict(type='mmpretrain.SwinTransformer', arch='tiny', img_size=64, window_size=2)),
        (False, dict(type='mmpretrain.SwinTransformer', arch='tiny', img_size=64, window_size=2)),
        (False, dict(type='mmpretrain.ConvNeXt', arch='atto', gap_before_final_norm=False)),
        (True, dict(type='mmpretrain.PCPVT', arch='small', out_indices=(3,), norm_after_stage=True)),
    ],
)
def test_stock_encoders_can_stand_in(masked, backbone):
    pytest.importorskip('mmpretrain', reason='named in configs, not needed by the package')
    encoder, images = MODELS.build(backbone), draw()
    dims = encoder(images.mixed)[-1].shape[1]
    model = MixMAE(**parts(dims, 2, 32), backbone=backbone, masked_attention=masked).eval()
    others = images.mixed.where(visible_pixels(images), images.mixed + 1)
    own, elsewhere = (model.encode(images._replace(mixed=mixed))[-1] for mixed in (images.mixed, others))
    seen = (images.assignment == 0)[:, None]
    assert torch.equal(own * seen, elsewhere * seen) == masked
    loss = model.loss(images)['loss_reconstruction']
    loss.backward()
    torch.testing.assert_close(loss, loss_by_loops(model.decode(images), images))
    assert next(model.backbone.parameters()).grad.any()


@pytest.mark.parametrize(
    ('name', 'stage'), [(None, 0), (None, 2), (None, -1), *((name, stage) for name in STOCK for stage in (0, -1))]
)
def test_tokens_of_a_source_may_attract_each_other(name, stage):
    """By the cosines of all pairs, written out."""
    contrast = dict(type='mixmae_mm.HomologousContrastiveLoss', temperature=0.5, weight=0.2)
    settings = dict(contrast=contrast, contrast_stage=stage)
    backbone = dict(
        type='mixmae_mm.MixMIMSwin', arch=TINY, img_size=64, window_sizes=(4, 4, 4, 2), out_indices=range(4)
    )
    pytest.importorskip((name or 'torch').partition('.')[0])
    model = (pretrainer(name, **settings) if name else MixMAE(**parts(32, 2, 32), backbone=backbone, **settings)).eval()
    cell = model.data_preprocessor.cell_size
    images = draw(maps=2, cell=cell)
    losses = model.loss(images)
    torch.testing.assert_close(losses['loss_reconstruction'], loss_by_loops(model.decode(images), images))
    features, terms = model.encode(images)[stage], []
    side = features.shape[-1] * cell // 64
    for group, tokens in enumerate(features.flatten(2).transpose(1, 2)):
        labels = images.assignment[group].repeat_interleave(side, 0).repeat_interleave(side, 1).flatten().tolist()
        for i, token in enumerate(tokens):
            others = [j for j in range(len(tokens)) if j != i]
            logits = torch.cosine_similarity(token[None], tokens[others], dim=1) / 0.5
            same = [n for n, j in enumerate(others) if labels[j] == labels[i]]
            if same:
                terms.append(logits.logsumexp(0) - logits[same].mean())
    torch.testing.assert_close(losses['loss_contrastive'], 0.2 * torch.stack(terms).mean())
    losses['loss_contrastive'].backward()
    gradients = [parameter.grad for parameter in model.backbone.parameters() if parameter.grad is not None]
    assert any(gradient.any() for gradient in gradients)
    assert all(gradient.isfinite().all() for gradient in gradients)


def test_a_stage_that_is_not_returned_has_no_features():
    contrast = dict(type='mixmae_mm.HomologousContrastiveLoss')
    backbone = dict(type='mixmae_mm.MixMIMSwin', arch=TINY, img_size=64, window_sizes=(4, 4, 4, 2))
    model = MixMAE(**parts(32, 2, 32), backbone=backbone, contrast=contrast, contrast_stage=1)
    with pytest.raises(ValueError, match=r'1 map.*contrast_stage is 1: .*out_indices'):
        model.loss(draw(maps=2))


@pytest.mark.parametrize('masked_only', [True, False])
def test_of_two_sources_one_may_be_reconstructed(masked_only):
    """The mean over the first source's cells is that of a mixture whose others are predicted without an error."""
    images = draw(maps=2)
    settings = dict(norm_pix=False, masked_only=masked_only)
    heads = MixReconstructionHead(num_reconstructed=1, **settings), MixReconstructionHead(**settings)
    targets = patchify(images.sources, 32)
    predictions = targets.clone()
    predictions[:, 0] += torch.randn_like(predictions[:, 0])
    other = predictions.clone()
    other[:, 1] += torch.randn_like(other[:, 1])
    first, whole, third = (
        head.loss(x, images)['loss_reconstruction'].item()
        for head, x in ((heads[0], predictions), (heads[1], predictions), (heads[0], other))
    )
    assert first == third == pytest.approx(2 * whole)  # half of the masked cells are the first source's


def test_more_reconstructions_than_images_are_refused():
    backbone = dict(type='mixmae_mm.MixMIMSwin', arch=TINY, img_size=64, window_sizes=(4, 4, 4, 2))
    with pytest.raises(ValueError, match='num_reconstructed 3 .*more than 2 images'):
        MixMAE(**parts(32, 2, 32, head=dict(num_reconstructed=3)), backbone=backbone)


def test_cells_of_no_source_have_none_to_attract():
    backbone = dict(type='mixmae_mm.MixMIMSwin', arch=TINY, img_size=64, window_sizes=(4, 4, 4, 2))
    contrast = dict(type='mixmae_mm.HomologousContrastiveLoss')
    with pytest.raises(ValueError, match=r'^a mixture by shares \(0.25, 0.5\) leaves cells without a source'):
        MixMAE(**parts(32, 2, 32, shares=(0.25, 0.5)), backbone=backbone, contrast=contrast)
    with pytest.raises(ValueError, match='^one image in a mixture leaves cells without a source'):
        MixMAE(**parts(32, 2, 32, num_sources=1, mask_ratio=0.5), backbone=backbone, contrast=contrast)
    MixMAE(**parts(32, 2, 32, shares=(0.25, 0.75)), backbone=backbone, contrast=contrast)


def test_modes():
    model = build_pretrainer(MICRO).eval()
    pixels = torch.randint(0, 256, (4, 3, 64, 64), dtype=torch.uint8)
    images = model.data_preprocessor.normalize(pixels)
    maps = model(images, mode='tensor')
    assert torch.equal(maps[0], model.backbone(images)[0])
    torch.manual_seed(1)
    result = model(images, mode='predict')
    assert torch.equal(result.sources[:, 0], pixels)
    where = result.assignment[0].repeat_interleave(32, 0).repeat_interleave(32, 1) == 0
    assert torch.equal(result.reconstructed[:, 0][..., where], pixels[..., where])
    assert not torch.equal(result.reconstructed[:, 0][..., ~where], pixels[..., ~where])
    with pytest.raises(ValueError, match="mode 'train' is unknown"):
        model(images, mode='train')


def test_cells_are_of_32_pixels_by_default():
    decoder = MODELS.build(dict(type='mixmae_mm.MixDecoder', in_channels=8, embed_dims=8, depth=1, num_heads=2))
    assert decoder.decoder_pred.out_features == 3 * 32**2
