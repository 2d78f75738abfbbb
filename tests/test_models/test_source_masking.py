"""Encoders of the libraries under a mask by source: nothing of another source enters, and nothing else changes."""

import copy

import pytest
import torch
from stock_encoders import CELLS, SQUARE, STOCK, stock_config
from torch import nn
from torch.nn import functional as F

from mixmae_mm.mixing import NOBODY, random_assignment, resize_assignment
from mixmae_mm.models.utils.source_masking import SourceMasking
from mixmae_mm.registry import MODELS

pytest.importorskip('mmdet', reason='needs the detection library')
pytest.importorskip('mmseg', reason='needs the segmentation library')


def build(name, seed=0):
    """A micro encoder with weights that are nowhere at rest, and its mask."""
    torch.manual_seed(seed)
    encoder = MODELS.build(stock_config(name))
    encoder.eval()
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    return encoder


def draw(name, num_sources=2, batch=2, wide=True):
    """Images and an assignment of them, twice as wide as high where the encoder allows."""
    cell = CELLS.get(name, 32)
    size = (64, 64 if name in SQUARE or not wide else 128)
    images = torch.randn(batch, 3, *size)
    return images, random_assignment(batch, (size[0] // cell, size[1] // cell), num_sources)


def changed(images, assignment, source):
    """The images with other pixels everywhere but in one source's cells."""
    own = resize_assignment(assignment, tuple(images.shape[-2:]))[:, None] == source
    return torch.where(own, images, 3 * torch.randn_like(images) + 1)


def differences(before, after, assignment, source):
    """The largest difference in each map at the tokens of a source, and elsewhere."""
    for x, y in zip(before, after, strict=True):
        own = resize_assignment(assignment, tuple(x.shape[-2:]))[:, None] == source
        difference = (x - y).abs().nan_to_num(float('inf'))
        yield (difference * own).max().item(), (difference * ~own).max().item()


@pytest.mark.parametrize('name', STOCK)
@torch.no_grad()
def test_plain_images_are_encoded_as_by_the_library(name):
    encoder, (images, assignment) = build(name), draw(name)
    before, keys = [x.clone() for x in encoder(images)], list(encoder.state_dict())
    masking = SourceMasking(encoder)
    assert list(encoder.state_dict()) == keys
    assert all(map(torch.equal, encoder(images), before))
    with masking.encoding(images, assignment, 2, False):
        mixed = encoder(images)
    assert not torch.allclose(mixed[-1], before[-1], atol=1e-2)
    assert all(map(torch.equal, encoder(images), before))


@pytest.mark.parametrize('num_sources', [2, 4])
@pytest.mark.parametrize('name', STOCK)
@torch.no_grad()
def test_nothing_of_another_source_enters(name, num_sources):
    encoder, (images, assignment) = build(name), draw(name, num_sources)
    masking = SourceMasking(encoder)
    for source in range(num_sources):
        others = changed(images, assignment, source)
        with masking.encoding(images, assignment, num_sources, False):
            masked = encoder(images), encoder(others)
        for own, elsewhere in differences(*masked, assignment, source):
            assert own == 0
            assert elsewhere > 1e-2
        for own, _ in differences(encoder(images), encoder(others), assignment, source):
            assert own > 1e-2, 'the images are such that a leak would not show'


@pytest.mark.parametrize('name', STOCK)
@torch.no_grad()
def test_one_source_is_a_plain_image(name):
    encoder, (images, assignment) = build(name), draw(name)
    plain = encoder(images)
    with SourceMasking(encoder).encoding(images, torch.zeros_like(assignment), 1, False):
        for masked, expected in zip(encoder(images), plain, strict=True):
            torch.testing.assert_close(masked, expected, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize('name', STOCK)
def test_gradients_stay_with_their_source(name):
    encoder, (images, assignment) = build(name), draw(name)
    encoder.train()
    images.requires_grad_(True)
    with SourceMasking(encoder).encoding(images, assignment, 2, False):
        last = encoder(images)[-1]
    own = resize_assignment(assignment, tuple(last.shape[-2:]))[:, None] == 1
    (last * own).square().sum().backward()
    pixels = (resize_assignment(assignment, tuple(images.shape[-2:]))[:, None] == 1).expand_as(images)
    assert (images.grad[~pixels] == 0).all()
    assert (images.grad[pixels] != 0).any()


@pytest.mark.parametrize('name', ['mmdet.SwinTransformer', 'mmdet.PyramidVisionTransformerV2', 'mmpretrain.SVT'])
@torch.no_grad()
def test_cells_of_no_source_are_apart_too(name):
    encoder, (images, assignment) = build(name), draw(name)
    masking = SourceMasking(encoder)
    assignment[assignment == 1] = NOBODY
    others = changed(images, assignment, 0)
    with masking.encoding(images, assignment, 1, True):
        masked = encoder(images), encoder(others)
    for own, elsewhere in differences(*masked, assignment, 0):
        assert own == 0
        assert elsewhere > 1e-2


@pytest.mark.parametrize('name', ['mmdet.SwinTransformer', 'mmdet.PyramidVisionTransformer', 'mmpretrain.SVT'])
@torch.no_grad()
def test_nothing_enters_in_bfloat16(name):
    encoder, (images, assignment) = build(name), draw(name)
    masking, others = SourceMasking(encoder), changed(images, assignment, 0)
    with torch.autocast('cpu', torch.bfloat16), masking.encoding(images, assignment, 2, False):
        for own, elsewhere in differences(encoder(images), encoder(others), assignment, 0):
            assert own == 0
            assert elsewhere > 1e-2


@pytest.mark.parametrize('shift', [0, 3])
@torch.no_grad()
def test_a_shifted_window_against_loops(shift):
    """A token keeps those of its window, of its side of the image's border, and of its source; and the padding."""
    torch.manual_seed(0)
    encoder = MODELS.build(stock_config('mmdet.SwinTransformer'))
    encoder.eval()
    block = encoder.stages[1].blocks[1 if shift else 0].attn
    msa, side, window = block.w_msa, 8, 7
    nn.init.normal_(msa.relative_position_bias_table)
    assert (block.shift_size, block.window_size, msa.num_heads) == (shift, window, 2)
    x, assignment = torch.randn(1, side * side, 32), torch.tensor([[[0, 1], [1, 0]]])
    masking = SourceMasking(encoder)
    with masking.encoding(torch.zeros(1, 3, 64, 64), assignment, 2, False):
        masked = block(x, (side, side))
    padded = 14
    source = F.pad(resize_assignment(assignment, (side, side))[0], (0, 6, 0, 6), value=-9)
    tokens = F.pad(x.view(side, side, 32), (0, 0, 0, 6, 0, 6))
    query, key, value = msa.qkv(tokens).view(padded, padded, 3, 2, 16).unbind(2)
    bias = msa.relative_position_bias_table
    for y in range(side):
        for column in range(side):
            row, col = (y - shift) % padded, (column - shift) % padded
            out = []
            for head in range(2):
                logits, values = [], []
                for other in range(row // window * window, row // window * window + window):
                    for across in range(col // window * window, col // window * window + window):
                        at = (other + shift) % padded, (across + shift) % padded
                        if source[at] not in (source[y, column], -9):
                            continue
                        logit = 0.25 * query[y, column, head] @ key[at][head]
                        logit += bias[(row - other + window - 1) * 13 + col - across + window - 1, head]
                        if any((i < shift) != (j < shift) for i, j in zip(at, (y, column), strict=True)) and shift:
                            logit = logit - 100
                        logits.append(logit)
                        values.append(value[at][head])
                out.append(torch.stack(logits).softmax(0) @ torch.stack(values))
            expected = msa.proj(torch.cat(out))
            torch.testing.assert_close(masked[0, y * side + column], expected, atol=1e-5, rtol=1e-5)


def gradients(encoder, images, assignment):
    """The gradients of a loss, computed after the mixture was encoded."""
    torch.manual_seed(0)  # of drop path
    with SourceMasking(encoder).encoding(images, assignment, 2, False):
        loss = encoder(images)[-1].square().mean()
    loss.backward()
    return {name: parameter.grad for name, parameter in encoder.named_parameters()}


def test_blocks_that_are_computed_twice_are_masked_twice():
    images, assignment = draw('mmdet.SwinTransformer')
    encoders = [build('mmdet.SwinTransformer') for _ in range(2)]
    for encoder, with_cp in zip(encoders, (False, True), strict=True):
        encoder.train()
        for module in encoder.modules():
            module.with_cp = with_cp
    once, twice = (gradients(encoder, images, assignment) for encoder in encoders)
    for name, expected in once.items():
        if expected is not None:
            torch.testing.assert_close(twice[name], expected, msg=name)


def test_a_copy_has_a_mask_of_its_own():
    """As of a moving average, which evaluates while the model trains."""
    model = nn.ModuleDict(dict(encoder=build('mmpretrain.SVT')))
    model.masking = SourceMasking(model.encoder)
    other = copy.deepcopy(model)
    images, assignment = draw('mmpretrain.SVT')
    with torch.no_grad(), model.masking.encoding(images, assignment, 2, False):
        masked = model.encoder(images)[-1]
    assert not torch.allclose(other.encoder(images)[-1], masked)
    with torch.no_grad(), other.masking.encoding(images, assignment, 2, False):
        assert torch.equal(other.encoder(images)[-1], masked)
        other.encoder.patch_embeds[0].projection.weight.zero_()
        assert not torch.allclose(other.encoder(images)[-1], masked)
    with torch.no_grad(), model.masking.encoding(images, assignment, 2, False):
        assert torch.equal(model.encoder(images)[-1], masked)


class Pooled(nn.Module):
    """A known attention, beside operators that mix tokens of their own."""

    def __init__(self, operator):
        super().__init__()
        self.encoder, self.operator = build('mmpretrain.SVT'), operator

    def forward(self, images):
        return [self.operator(x) for x in self.encoder(images)]


@pytest.mark.parametrize(
    ('operator', 'name'),
    [
        (lambda x: F.adaptive_avg_pool2d(x, 1), 'adaptive_avg_pool2d'),
        (lambda x: x.flatten(2).softmax(-1), 'softmax'),
        (lambda x: nn.Softmax(-1)(x.flatten(2)), 'softmax'),
        (lambda x: F.scaled_dot_product_attention(*[x.flatten(2)] * 3), 'scaled_dot_product_attention'),
    ],
)
def test_what_else_mixes_tokens_is_refused(operator, name):
    encoder, (images, assignment) = Pooled(operator), draw('mmpretrain.SVT')
    masking = SourceMasking(encoder)
    encoder(images)
    with (
        pytest.raises(ValueError, match=f'Pooled has {name} outside of attention .* set masked_attention=False'),
        masking.encoding(images, assignment, 2, False),
    ):
        encoder(images)
    encoder(images)


def test_an_encoder_without_known_attention_is_refused():
    with pytest.raises(ValueError, match='ConvNeXt has no attention that is known here'):
        SourceMasking(MODELS.build(dict(type='mmpretrain.ConvNeXt', arch='atto')))


def test_cells_smaller_than_the_stride_are_refused():
    encoder, (images, _) = build('mmdet.PyramidVisionTransformer'), draw('mmdet.PyramidVisionTransformer')
    with (
        pytest.raises(ValueError, match='an assignment of 4 x 8 cells does not fit a grid of 2 x 4'),
        SourceMasking(encoder).encoding(images, torch.zeros(2, 4, 8, dtype=torch.int64), 1, False),
    ):
        encoder(images)
