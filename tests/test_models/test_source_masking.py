"""Encoders of the libraries under a mask by source: nothing of another source enters, and nothing else changes."""

import copy

import pytest
import torch
from stock_encoders import CELLS, STOCK, stock_config
from torch import nn
from torch.nn import functional as F

from mixmae_mm.mixing import NOBODY, random_assignment, resize_assignment
from mixmae_mm.models.utils.source_masking import SourceMasking
from mixmae_mm.models.utils.token_layouts import LAYOUTS, whole
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


def draw(name, num_sources=2, batch=2):
    """Images and an assignment of them, twice as wide as high."""
    cell = CELLS.get(name, 32)
    return torch.randn(batch, 3, 64, 128), random_assignment(batch, (64 // cell, 128 // cell), num_sources)


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


@pytest.mark.parametrize('num_sources', [2, 3, 4])
@pytest.mark.parametrize('name', STOCK)
@torch.no_grad()
def test_nothing_of_another_source_enters(name, num_sources):
    encoder, (images, assignment) = build(name), draw(name, num_sources)
    masking, plain = SourceMasking(encoder), encoder(images)
    with masking.encoding(images, assignment, num_sources, False):
        masked = encoder(images)
    for source in range(num_sources):
        others = changed(images, assignment, source)
        with masking.encoding(images, assignment, num_sources, False):
            elsewhere_changed = encoder(others)
        for own, elsewhere in differences(masked, elsewhere_changed, assignment, source):
            assert own == 0
            assert elsewhere > 1e-2
        for own, _ in differences(plain, encoder(others), assignment, source):
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


@pytest.mark.parametrize('name', STOCK)
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


@pytest.mark.parametrize('name', STOCK)
def test_nothing_enters_in_training_where_all_share_an_assignment(name):
    encoder, (images, assignment) = build(name), draw(name)
    masking, assignment = SourceMasking(encoder), assignment[:1]
    encoder.train()
    maps = []
    for x in (images, changed(images, assignment, 1)):
        torch.manual_seed(0)  # of drop path
        with masking.encoding(x, assignment, 2, False):
            maps.append(encoder(x))
    for own, elsewhere in differences(*maps, assignment, 1):
        assert own == 0
        assert elsewhere > 1e-2


@torch.no_grad()
def test_windows_of_a_whole_map_are_not_shifted_where_the_library_does_not():
    torch.manual_seed(0)
    arch = dict(embed_dims=8, depths=[2, 2, 2, 2], num_heads=[1, 1, 1, 1])
    encoder = MODELS.build(dict(type='mmpretrain.SwinTransformer', arch=arch, img_size=224, window_size=7))
    encoder.eval()
    masking, images, assignment = SourceMasking(encoder), torch.randn(1, 3, 224, 448), random_assignment(1, (7, 14), 2)
    with masking.encoding(images, assignment, 2, False):
        ((own, elsewhere),) = differences(encoder(images), encoder(changed(images, assignment, 0)), assignment, 0)
    assert own == 0
    assert elsewhere > 1e-2


@pytest.mark.parametrize(('side', 'window'), [(64, 4), (128, 7), (96, 5)])
@pytest.mark.parametrize('fused', [True, False])
@torch.no_grad()
def test_timm_shifts_before_it_pads(side, window, fused):
    timm = pytest.importorskip('timm', reason='timm is not installed')
    timm.layers.set_fused_attn(fused)
    arch = dict(embed_dim=8, depths=(2, 2, 2, 2), num_heads=(1, 1, 2, 2), window_size=window, img_size=side)
    encoder = timm.models.swin_transformer.SwinTransformer(**arch, num_classes=0, global_pool='').eval()
    masking, images = SourceMasking(encoder), torch.randn(2, 3, side, side)
    assignment = random_assignment(2, (side // 32, side // 32), 2)
    with masking.encoding(images, assignment, 2, False):
        pair = [[encoder(x).permute(0, 3, 1, 2)] for x in (images, changed(images, assignment, 0))]
    ((own, elsewhere),) = differences(*pair, assignment, 0)
    assert own == 0
    assert elsewhere > 1e-2


def checkpointed(name, with_cp):
    """An encoder whose blocks run again in the backward pass, or do not."""
    encoder = build(name)
    encoder.train()
    for module in encoder.modules():
        module.with_cp = module.grad_checkpointing = with_cp
        module.drop_prob = 0.0
    return encoder, SourceMasking(encoder)


ORDERS = 'once', 'two at once', 'the first one first', 'a mixture, then plain', 'plain between'
RERUN = [name for name in STOCK if 'Swin' in name or name.endswith(('MixVisionTransformer', 'TIMMBackbone'))]
"""Encoders that can run blocks again."""


@pytest.mark.parametrize(
    ('name', 'order'), [(RERUN[0], order) for order in ORDERS] + [(name, 'the first one first') for name in RERUN[1:]]
)
def test_blocks_that_run_again_are_masked_by_their_own_mixture(name, order):
    (images, one), (_, other) = (draw(name) for _ in range(2))
    found, ran = [], []
    for with_cp in (False, True):
        encoder, masking = checkpointed(name, with_cp)
        last = [module for module in encoder.modules() if type(module).__name__ in LAYOUTS][-1]
        last.register_forward_pre_hook(lambda *_, with_cp=with_cp: ran.append(with_cp))

        def loss(assignment, encoder=encoder, masking=masking):
            if assignment is None:
                return encoder(images[..., :64])[-1].square().mean()
            with masking.encoding(images, assignment, 2, False):
                return encoder(images)[-1].square().mean()

        if order == 'once':
            loss(one).backward()
        elif order == 'two at once':
            (loss(one) + 2 * loss(other)).backward()
        elif order == 'the first one first':
            first, second = loss(one), loss(other)
            first.backward()
            (2 * second).backward()
        elif order == 'a mixture, then plain':
            loss(one).backward()
            loss(None).backward()
        else:
            mixture, plain = loss(one), loss(None)
            mixture.backward()
            (2 * plain).backward()
        found.append({name: parameter.grad for name, parameter in encoder.named_parameters()})
    assert ran.count(True) == 2 * ran.count(False)
    for name, expected in found[0].items():
        if expected is not None:
            torch.testing.assert_close(found[1][name], expected, msg=name)


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
        (lambda x: F.max_pool2d(x, 2, 1), 'max_pool2d'),
        (lambda x: F.avg_pool2d(x, 2, 1), 'avg_pool2d'),
        (lambda x: F.conv2d(x, torch.ones(1, x.shape[1], 3, 3), padding=1), 'conv2d'),
        (lambda x: F.conv2d(x, torch.ones(1, x.shape[1], 2, 2), None, 2, (0, 1), (1, 2)), 'conv2d'),
        (lambda x: F.conv1d(x.flatten(2), torch.ones(1, x.shape[1], 3)), 'conv1d'),
        (lambda x: nn.MultiheadAttention(x.shape[1], 1)(*[x.flatten(2).permute(2, 0, 1)] * 3)[0], 'multi_head'),
        (lambda x: x.flatten(2).log_softmax(-1), 'log_softmax'),
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
        pytest.raises(ValueError, match=f'Pooled has {name}.* set masked_attention=False'),
        masking.encoding(images, assignment, 2, False),
    ):
        encoder(images)
    encoder(images)


def test_a_convolution_put_in_later_is_refused():
    encoder, (images, assignment) = build('mmpretrain.SVT'), draw('mmpretrain.SVT')
    masking, encoding = SourceMasking(encoder), encoder.position_encodings[0]
    encoding.proj = nn.Conv2d(16, 16, 3, padding=1, groups=16)
    with (
        pytest.raises(ValueError, match='SVT has conv2d outside the known layouts'),
        masking.encoding(images, assignment, 2, False),
    ):
        encoder(images)


@torch.no_grad()
def test_names_of_arguments_do_not_matter():
    encoder, (images, assignment) = build('mmdet.SwinTransformer'), draw('mmdet.SwinTransformer')
    block, x, masking = encoder.stages[0].blocks[1].attn, torch.randn(2, 16 * 32, 16), SourceMasking(encoder)
    with masking.encoding(images, assignment, 2, False):
        assert torch.equal(block(hw_shape=(16, 32), query=x), block(x, (16, 32)))


class Attending(nn.Module):
    """An attention whose layout is `whole`, by any operator."""

    def __init__(self, operator):
        super().__init__()
        self.operator = operator

    def forward(self, x):
        return self.operator(x)


@pytest.mark.parametrize('masked', [False, True])
@pytest.mark.parametrize('operator', ['softmax', 'scaled_dot_product_attention', 'MultiheadAttention'])
@torch.no_grad()
def test_every_operator_joins_its_own_mask_to_that_of_the_sources(operator, masked, monkeypatch):
    """Against logits with both masks, written out."""
    monkeypatch.setitem(LAYOUTS, 'Attending', whole)
    torch.manual_seed(0)
    x, assignment = torch.randn(3, 4, 8), torch.tensor([[[0, 1], [1, 0]]])
    own = torch.rand(4, 4).tril() > 0.2 if masked else torch.ones(4, 4, dtype=torch.bool)
    own |= torch.eye(4, dtype=torch.bool)
    layer = nn.MultiheadAttention(8, 2, batch_first=True)
    nn.init.eye_(layer.out_proj.weight)
    layer.in_proj_weight.copy_(torch.eye(8).repeat(3, 1))
    heads = x.unflatten(-1, (2, 4)).transpose(1, 2)
    logits = heads @ heads.transpose(-1, -2) / 2

    def attend(x):
        if operator == 'softmax':
            return torch.softmax(input=logits.masked_fill(~own, float('-inf')), dim=-1) @ heads
        if operator == 'MultiheadAttention':
            out = layer(x, x, x, attn_mask=~own if masked else None)[0]
            return out.unflatten(-1, (2, 4)).transpose(1, 2)
        return F.scaled_dot_product_attention(heads, key=heads, value=heads, attn_mask=own if masked else None)

    module = Attending(attend)
    labels = assignment.flatten()
    keep = (labels[:, None] == labels) & own
    expected = logits.masked_fill(~keep, float('-inf')).softmax(-1) @ heads
    with SourceMasking(module).encoding(torch.zeros(3, 3, 64, 64), assignment, 2, False):
        torch.testing.assert_close(module(x), expected)


def test_logits_of_another_layout_are_refused(monkeypatch):
    monkeypatch.setitem(LAYOUTS, 'Attending', whole)
    module = Attending(lambda x: (x @ x.transpose(1, 2))[:, None, :, :3].softmax(-1))
    with (
        pytest.raises(ValueError, match=r'logits \(2, 1, 4, 3\), .*\(2, 4, 4\)'),
        SourceMasking(module).encoding(torch.zeros(2, 3, 64, 64), torch.zeros(1, 2, 2, dtype=torch.int64), 1, False),
    ):
        module(torch.randn(2, 4, 8))


def test_an_encoder_without_known_attention_is_refused_and_left_alone():
    encoder = MODELS.build(dict(type='mmpretrain.ConvNeXt', arch='atto'))
    with pytest.raises(ValueError, match='ConvNeXt has no attention that is known here'):
        SourceMasking(encoder)
    assert not any('forward' in vars(module) for module in encoder.modules())


@pytest.mark.parametrize(
    ('name', 'settings', 'size', 'cells', 'message'),
    [
        ('mmdet.SwinTransformer', {}, 62, 2, 'a map of 16 x 16 does not divide an image of 62 x 62 pixels'),
        ('mmdet.SwinTransformer', {}, 64, 4, 'an assignment of 4 x 4 cells does not fit a grid of 2 x 2'),
        ('mmdet.PyramidVisionTransformer', dict(sr_ratios=[8, 3, 2, 1]), 64, 2, 'keys of 3 x 3 tokens cross'),
        ('mmdet.PyramidVisionTransformer', dict(sr_ratios=[16, 4, 2, 1]), 64, 2, 'keys of 16 x 16 tokens cross'),
    ],
)
def test_tokens_that_cross_cells_are_refused(name, settings, size, cells, message):
    encoder, images = MODELS.build(stock_config(name) | settings), torch.randn(1, 3, size, size)
    with (
        pytest.raises(ValueError, match=message),
        SourceMasking(encoder).encoding(images, torch.zeros(1, cells, cells, dtype=torch.int64), 1, False),
    ):
        encoder(images)
